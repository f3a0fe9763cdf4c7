import urllib.request

import pytest
from docs_tree import (
    Nginx,
    bad_lines,
    differences,
    fetch_all,
    find_nginx,
    make_tree,
    sources,
)

STRATEGIES = ["serial", "threads", "processes", "subprocess", "asyncio"]
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))

pytestmark = [
    pytest.mark.nginx,
    pytest.mark.skipif(find_nginx() is None, reason="needs nginx (apt install nginx)"),
    pytest.mark.usefixtures("workdir"),
]


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """URL -> source file, with an nginx that serves them."""
    root = tmp_path_factory.mktemp("tree")
    make_tree(root, 300)
    with Nginx(root) as nginx:
        yield sources(root, nginx.origin)


def test_nginx_serves_every_file_of_the_tree(wanted):
    different = []
    for url, source in wanted.items():
        with NO_PROXY.open(url, timeout=60) as answer, open(source, "rb") as file:
            different += [url] * (answer.read() != file.read())

    assert different == []


def test_there_are_twenty_bad_lines_and_no_two_are_alike():
    assert len(set(bad_lines())) == 20


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_file_arrives_as_it_is(wanted, tmp_path, strategy):
    status, report, output = fetch_all(tmp_path, strategy, wanted)

    assert differences(report, wanted, output) == []
    assert len(report["results"]) == len(wanted)
    assert status == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_bad_lines_are_reported_by_line_and_hold_nothing_up(wanted, tmp_path, strategy):
    status, report, output = fetch_all(tmp_path, strategy, wanted, bad_lines())
    bad = [row for row in report["results"] if row["error"] == "invalid_url"]
    numbers = range(len(wanted) + 1, len(wanted) + 21)

    assert status == 1
    assert differences(report, wanted, output) == []
    assert len(bad) == 20
    assert all(
        f"urls.txt:{n}" in row["detail"] for n, row in zip(numbers, bad, strict=True)
    )
