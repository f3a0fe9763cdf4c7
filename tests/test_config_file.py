import tomllib
from pathlib import Path

import pytest

from downloader.option_values import check
from downloader.options import BY_NAME, OPTIONS
from downloader.settings import Settings, load

FILE = Path(__file__).parent.parent / "config.toml"
KEYS = tomllib.loads(FILE.read_text("utf-8"))["downloader"]


def test_the_file_has_every_key_and_no_other():
    assert sorted(KEYS) == sorted(BY_NAME)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_each_key_has_the_default_of_the_code(option):
    assert KEYS[option.name] == option.file_default


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_what_the_file_writes_for_a_default_means_that_default(option):
    meant = check(option, option.file_default)

    assert (meant or None) == (option.default or None)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_each_key_has_a_comment_above_it(option):
    lines = FILE.read_text("utf-8").splitlines()
    number = next(
        n for n, line in enumerate(lines) if line.startswith(f"{option.name} =")
    )

    assert lines[number - 1].startswith("# ")


def test_the_whole_file_loaded_gives_the_defaults(workdir):
    assert load({}, {}, workdir, str(FILE)) == Settings()


def test_every_option_is_a_field_and_every_other_field_is_an_option():
    derived = {"allow_http", "host_headers", "proxies"}

    assert set(Settings.__struct_fields__) - derived == set(BY_NAME)


def test_the_file_in_the_repository_may_lie_in_the_current_folder(tmp_path):
    (tmp_path / "config.toml").write_bytes(FILE.read_bytes())

    assert load({}, {}, tmp_path) == Settings()


def test_a_found_file_that_sets_nothing_overrides_nothing_of_the_users(
    monkeypatch, tmp_path
):
    own = tmp_path / "own" / "downloader"
    own.mkdir(parents=True)
    (own / "config.toml").write_text('[downloader]\nproxy = "http://p:1"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    (tmp_path / "config.toml").write_bytes(FILE.read_bytes())

    assert load({}, {}, tmp_path).proxies.by_scheme["all"].url == "http://p:1"


@pytest.mark.parametrize("is_named", [False, True])
def test_a_found_file_takes_back_none_of_the_users_guards(
    monkeypatch, tmp_path, is_named
):
    own = tmp_path / "own" / "downloader"
    own.mkdir(parents=True)
    (own / "config.toml").write_text(
        '[downloader]\nblock_private = true\nmax_file_size = "1M"\nretries = 1\n'
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    found = tmp_path / "config.toml"
    found.write_text(
        '[downloader]\nblock_private = false\nmax_file_size = "none"\n'
        "retries = 2\nverify = true\n"
    )
    got = load({}, {}, tmp_path, str(found) if is_named else None)

    assert (got.block_private, got.max_file_size) == (
        (False, None) if is_named else (True, 1 << 20)
    )
    assert (got.retries, got.verify) == (2, True)
