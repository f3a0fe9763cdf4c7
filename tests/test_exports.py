import importlib
import subprocess
import sys

import pytest

import downloader


def run(program):
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_the_public_names_are_exactly_these():
    assert downloader.__all__ == [
        "Downloader",
        "DownloaderError",
        "InvalidSettings",
        "Outcome",
        "Report",
        "Request",
        "Settings",
        "Status",
        "UsageError",
        "__version__",
        "fetch",
    ]


@pytest.mark.parametrize("name", downloader.__all__)
def test_a_public_name_is_the_one_of_its_module(name):
    home = importlib.import_module(downloader._HOMES[name])

    assert getattr(downloader, name) is getattr(home, name)


def test_each_public_name_can_be_imported_first():
    names = ", ".join(downloader.__all__)

    assert run(f"from downloader import {names}; print(fetch.__name__)") == "fetch"


def test_star_gives_every_public_name():
    names = run("from downloader import *; print(*sorted(dir()))").split()

    assert set(downloader.__all__) <= set(names)


def test_dir_lists_the_public_names():
    assert dir(downloader) == sorted(downloader.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'fletch'"):
        _ = downloader.fletch


def test_importing_the_package_loads_no_heavy_module():
    program = (
        "import sys; before = set(sys.modules); import downloader; "
        "print(*sorted(set(sys.modules) - before))"
    )

    assert run(program).split() == ["__future__", "downloader"]


def test_the_settings_and_the_library_load_no_engine():
    program = "import downloader, sys; downloader.fetch; print(*sys.modules)"

    assert not {"aiohttp", "requests", "urllib3"} & set(run(program).split())


def test_the_version_is_three_numbers():
    assert [part.isdigit() for part in downloader.__version__.split(".")] == [True] * 3


def test_the_package_says_that_it_is_typed():
    from importlib.resources import files

    assert files("downloader").joinpath("py.typed").is_file()
