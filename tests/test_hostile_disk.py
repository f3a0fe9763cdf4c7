"""A disk that is full, read-only or otherwise against it, under every strategy."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest
from odd_exchange import body

from downloader import fetch
from downloader.strategies.contract import NAMES

pytestmark = pytest.mark.usefixtures("workdir")
every_strategy = pytest.mark.parametrize("strategy", NAMES)
needs_root = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="needs root and unshare, to mount a small disk for itself",
)


def on_disk(size, urls, strategy, *options, before="true"):
    """A run into a file system of that size, which nobody else sees; its report."""
    fetching = [sys.executable, "-m", "downloader", "fetch", *urls, "-o", "small/out"]
    flags = ["-q", "-s", strategy, "--report", "report.json", "--retries", "0"]
    command = (
        f"mkdir -p small && mount -t tmpfs -o size={size} tmpfs small && {before} && "
        f"{shlex.join([*fetching, *flags, *options])}; status=$?; "
        "find small/out -type f -not -path '*/.downloader/*' > left; exit $status"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    if os.path.exists("report.json"):
        with open("report.json") as stream:
            return done, json.load(stream)["results"]
    return done, None


@needs_root
@every_strategy
def test_a_file_too_large_for_the_disk_is_refused_and_others_come(odd, strategy):
    urls = [odd.url(f"ok/{size}") for size in (1000, 6_000_000, 2000)]
    done, rows = on_disk("5m", urls, strategy)

    assert [row["error"] for row in rows] == [None, "disk", None]
    assert "needs 6,000,000 bytes" in rows[1]["detail"]
    assert done.returncode == 1
    with open("left") as stream:
        assert len(stream.readlines()) == 2


@needs_root
@every_strategy
def test_a_disk_that_fills_up_on_the_way_fails_what_does_not_fit(odd, strategy):
    urls = [odd.url(path) for path in ("ok/10", "close/6000000")]
    done, rows = on_disk("3m", urls, strategy, "-x", "1")

    assert rows[1]["error"] == "disk"
    assert "No space left" in rows[1]["detail"]
    assert rows[0]["error"] is None
    assert done.returncode == 1


@needs_root
@every_strategy
def test_a_full_disk_still_leaves_a_report(odd, strategy):
    urls = [odd.url(f"ok/{size}") for size in range(100_000, 100_030)]
    fill = "mkdir -p small/out/.downloader && ! dd if=/dev/zero of=small/fill bs=4k 2>/dev/null"
    done, rows = on_disk("1m", urls, strategy, before=fill)

    assert done.returncode == 1
    assert {row["error"] for row in rows} == {"disk"}
    assert "next run has to read it" in done.stderr


@needs_root
def test_a_read_only_disk_is_named_before_anything_is_asked_for(odd):
    done, _ = on_disk(
        "1m",
        [odd.url("ok/1")],
        "serial",
        before="mkdir small/out && mount -o remount,ro small",
    )

    assert done.returncode in {1, 2}
    assert "ead-only file system" in done.stderr
    assert not odd.hits


def planted(kind, path, victim):
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(victim)
        case "pipe":
            os.mkfifo(path)


@every_strategy
@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
@pytest.mark.parametrize("where", ["200000~f", "200000~f.part"])
def test_what_is_planted_stays_and_harms_nobody_else(
    odd, workdir, strategy, kind, where
):
    (workdir / "victim").write_bytes(b"not ours")
    host = workdir / f"downloads/127.0.0.1_{odd.port}/ok"
    planted(kind, host / where, workdir / "victim")
    urls = [odd.url("ok/200000"), odd.url("ok/11")]
    hit, other = fetch(urls, strategy=strategy, workers=1)

    assert (hit.error, other.error) == ("disk", None)
    assert (workdir / "victim").read_bytes() == b"not ours"
    assert (host / "11~f").read_bytes() == body("/ok/11", 11)


@every_strategy
@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_what_is_planted_under_a_small_files_name_stays(odd, workdir, strategy, kind):
    (workdir / "victim").write_bytes(b"not ours")
    host = workdir / f"downloads/127.0.0.1_{odd.port}/ok"
    planted(kind, host / "10~f", workdir / "victim")
    (row,) = fetch([odd.url("ok/10")], strategy=strategy, workers=1)

    assert row.error == "disk"
    assert (workdir / "victim").read_bytes() == b"not ours"
    assert [path.name for path in host.iterdir()] == ["10~f"]


@every_strategy
def test_a_link_above_a_file_is_not_followed(odd, workdir, strategy):
    (workdir / "elsewhere").mkdir()
    (workdir / "downloads").mkdir()
    (workdir / f"downloads/127.0.0.1_{odd.port}").symlink_to(workdir / "elsewhere")
    (row,) = fetch([odd.url("ok/10")], strategy=strategy)

    assert row.error == "disk"
    assert list((workdir / "elsewhere").iterdir()) == []


@every_strategy
def test_few_descriptors_mean_fewer_downloads_and_no_failure(odd, workdir, strategy):
    (workdir / "list").write_text("\n".join(odd.url(f"ok/{n}") for n in range(200)))
    fetching = [sys.executable, "-m", "downloader", "fetch", "list", "-s", strategy]
    command = f"ulimit -n 64; exec {shlex.join([*fetching, '-j', '100', '-x', 'none'])}"
    done = subprocess.run(
        ["bash", "-c", command], check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert "ok 200" in done.stderr
    said = done.stderr.count("only 64 files may be open at once (ulimit -n)")
    assert said == (strategy != "serial")


def test_a_name_that_the_system_cannot_write_fails_its_own_row_only(odd, workdir):
    """As in a locale of the last century: whatever cannot be said in it is no file name."""
    urls = [odd.url("ok/9?%E6%97%A5"), odd.url("ok/8")]
    done = subprocess.run(
        [sys.executable, "-m", "downloader", "fetch", *urls, "--report", "rows.json"],
        check=False,
        cwd=workdir,
        capture_output=True,
        env=os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    )
    rows = json.loads((workdir / "rows.json").read_bytes())["results"]

    assert done.returncode == 1
    assert [row["error"] for row in rows] == ["disk", None]
    assert "cannot be named in this system's encoding, ascii" in rows[0]["detail"]
    assert odd.hits.total() == 1
