import contextlib
import math
import os
import pickle
import sys
from pathlib import Path

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader import config_files
from downloader.errors import InvalidSettings
from downloader.models import Proxies, Proxy
from downloader.options import OPTIONS
from downloader.policy.urls import parse
from downloader.settings import Settings, load
from downloader.version import __version__

pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture
def config(workdir):
    """Writes ./config.toml."""
    return lambda text: (workdir / "config.toml").write_text(text, "utf-8")


@pytest.fixture
def named(tmp_path):
    """Writes a file for --config and gives its path."""

    def write(text):
        path = tmp_path / "named.toml"
        path.write_text(text, "utf-8")
        return str(path)

    return write


@pytest.fixture
def users_own(tmp_path, monkeypatch):
    """Writes the file in the user's configuration folder."""

    def write(text):
        folder = tmp_path / "user" / "downloader"
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text(text, "utf-8")
        monkeypatch.setenv("XDG_CONFIG_HOME", str(folder.parent))  # Linux
        monkeypatch.setattr(
            "platformdirs.user_config_path", lambda name: folder.parent / name
        )

    return write


def loaded(flags=None, environ=None, path=None):
    return load(flags or {}, environ or {}, os.getcwd(), path)


def refusal(**values):
    with pytest.raises(InvalidSettings) as caught:
        Settings.make({}, **values)
    return str(caught.value)


def load_refusal(flags=None, environ=None, path=None):
    with pytest.raises(InvalidSettings) as caught:
        loaded(flags, environ, path)
    return str(caught.value)


def test_without_any_source_the_defaults_hold():
    settings = loaded()

    assert settings == Settings()
    assert settings.strategy == "default"
    assert settings.user_agent.startswith(f"downloader/{__version__} (+https://")


def test_each_source_goes_before_the_next(config, users_own):
    users_own("[downloader]\nretries = 1\nper_host = 1\nlayout = 'flat'\ntimeout = 1")
    config("[downloader]\nretries = 2\nper_host = 2\nlayout = 'tree'")
    environ = {"DOWNLOADER_RETRIES": "4", "DOWNLOADER_PER_HOST": "4"}

    settings = loaded({"retries": "5"}, environ)

    assert settings.retries == 5
    assert settings.per_host == 4
    assert settings.layout == "tree"
    assert settings.timeout == 1.0
    assert settings.max_redirects == 20


def test_a_named_file_takes_the_place_of_the_one_in_the_folder(config, named):
    config("[downloader]\nretries = 2\nper_host = 2")

    settings = loaded(path=named("[downloader]\nretries = 7"))

    assert (settings.retries, settings.per_host) == (7, 8)


def test_the_variable_names_a_file_too_and_the_flag_goes_first(named, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text("[downloader]\nretries = 9")
    environ = {"DOWNLOADER_CONFIG": str(other)}

    assert loaded(environ=environ).retries == 9
    assert loaded(environ=environ, path=named("")).retries == 3


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_has_a_working_variable(option, tmp_path, workdir):
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    text, final = {
        "authorities": (str(bundle), str(bundle)),
        "checksums": (str(bundle), str(bundle)),
        "duration": ("2m", 120.0),
        "failures": ("5%", "5%"),
        "statuses": ("403, 5XX", "403,5xx"),
        "bool": ("yes", True),
        "choice": (option.choices[-1:] or ("",)) * 2,
        "count": ("7", 7),
        "folder": ("papers", "papers"),
        "headers": ("A: b\nC: d", (("A", "b"), ("C", "d"))),
        "pause": ("1.5", 1.5),
        "proxy": ("http://proxy:1", "http://proxy:1"),
        "rate": ("2K", 2048),
        "report": ("-", "-"),
        "seconds": ("1.5", 1.5),
        "size": ("2M", 2 << 20),
        "text": ("me/1", "me/1"),
    }[option.kind]
    final = final[0] if option.kind == "choice" and isinstance(final, tuple) else final
    text = text[0] if isinstance(text, tuple) else text

    settings = loaded(environ={option.variable: text})

    assert getattr(settings, option.name) == final


def test_a_variable_that_is_set_and_empty_counts_as_not_set():
    assert loaded(environ={"DOWNLOADER_RETRIES": ""}).retries == 3


@pytest.mark.parametrize("word", ["1", "true", "YES", "on"])
def test_words_that_turn_a_switch_on(word):
    assert loaded(environ={"DOWNLOADER_QUIET": word}).quiet is True


@pytest.mark.parametrize("word", ["0", "false", "No", "off"])
def test_words_that_turn_a_switch_off(word):
    assert loaded(environ={"DOWNLOADER_QUIET": word}).quiet is False


def test_an_unknown_variable_is_an_error_with_a_suggestion():
    message = load_refusal(environ={"DOWNLOADER_RETRIE": "1"})

    assert "DOWNLOADER_RETRIE:" in message
    assert "did you mean DOWNLOADER_RETRIES?" in message


def test_a_variable_that_is_like_no_other_has_no_suggestion():
    message = load_refusal(environ={"DOWNLOADER_FOO": "1"})

    assert message == "DOWNLOADER_FOO: no setting has this variable"


def test_variables_of_other_programs_do_not_matter():
    assert loaded(environ={"DOWNLOAD_DIR": "x", "PATH": "y"}) == Settings()


@pytest.mark.parametrize(
    ("flags", "environ", "source"),
    [
        ({"timeout": "soon"}, {}, "--timeout 'soon': "),
        ({}, {"DOWNLOADER_TIMEOUT": "soon"}, "DOWNLOADER_TIMEOUT 'soon': "),
    ],
)
def test_a_bad_value_is_reported_with_its_source(flags, environ, source):
    assert load_refusal(flags, environ).startswith(source)


def test_a_bad_value_in_a_file_is_reported_with_path_line_and_key(named):
    path = named("# mine\n[downloader]\n\nper-host = 0\n")

    assert load_refusal(path=path).startswith(f"{path}:4: per-host 0: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timeout", "'30'"),
        ("timeout", "true"),
        ("retries", "3.0"),
        ("retries", "true"),
        ("retries", "'3'"),
        ("quiet", "1"),
        ("quiet", "'yes'"),
        ("output", "1"),
        ("headers", "'A: b'"),
        ("headers", "[1]"),
        ("strategy", "['serial']"),
        ("limit_rate", "1.5"),
        ("user_agent", "1979-05-27"),
    ],
)
def test_a_value_of_the_wrong_type_in_a_file_is_an_error(named, key, value):
    assert f": {key}" in load_refusal(path=named(f"[downloader]\n{key} = {value}"))


def test_an_unknown_key_is_an_error_with_a_suggestion(config):
    config("[downloader]\nretrys = 1")

    message = load_refusal()

    assert message.startswith("./config.toml:2: retrys: ")
    assert "did you mean retries?" in message


def test_dashes_and_underscores_name_the_same_key(named):
    assert loaded(path=named("[downloader]\nlimit-rate = '1K'")).limit_rate == 1024
    assert loaded(path=named("[downloader]\nlimit_rate = '1K'")).limit_rate == 1024


def test_a_key_that_is_set_in_both_spellings_is_an_error(named):
    path = named("[downloader]\nper-host = 1\nper_host = 2")

    assert "set twice" in load_refusal(path=path)


def test_a_key_outside_of_the_table_is_an_error_that_says_where_it_belongs(named):
    assert "below [downloader]" in load_refusal(path=named("timeout = 3"))


def test_an_unknown_table_is_an_error_with_a_suggestion(named):
    message = load_refusal(path=named("[downlaoder]\ntimeout = 3"))

    assert "did you mean downloader?" in message


def test_a_file_that_is_named_and_missing_is_an_error():
    assert "'nowhere.toml'" in load_refusal(path="nowhere.toml")


@pytest.mark.parametrize("content", [b"[downloader", b"\xff\xfe", b"x = "])
def test_a_named_file_that_is_no_toml_is_an_error(tmp_path, content):
    path = tmp_path / "broken.toml"
    path.write_bytes(content)

    assert "not valid TOML" in load_refusal(path=str(path))


@pytest.mark.parametrize(
    "text", ["", "title = 'my site'\n[params]\nx = 1", "{{ not toml", "downloader = 1"]
)
def test_another_programs_config_in_the_folder_is_passed_over(config, text):
    config(text)

    assert loaded() == Settings()


def test_a_broken_config_in_the_folder_that_is_meant_for_us_is_an_error(config):
    config("[downloader]\nretries = = 1")

    assert load_refusal().startswith("./config.toml: is not valid TOML")


def test_a_folder_named_like_the_config_is_passed_over(workdir):
    (workdir / "config.toml").mkdir()

    assert loaded() == Settings()


@pytest.mark.parametrize(
    "line",
    [
        "proxy = 'http://evil:1'",
        "cacert = 'evil.pem'",
        "insecure = true",
        "netrc = true",
        "headers = ['@/etc/passwd']",
        "output = '/etc'",
        "output = '../elsewhere'",
        "output = 'a/../../elsewhere'",
        "output = '~/elsewhere'",
        "output = 'C:\\elsewhere/..'",
        "report = '/etc/x.json'",
        "report = '../x.json'",
    ],
)
def test_a_planted_config_cannot_do_harm(config, line):
    config(f"[downloader]\n{line}\n")

    message = load_refusal()

    assert message.startswith("./config.toml:2: ")
    assert "--config" in message


def test_a_planted_host_table_is_refused_before_its_header_files_are_read(config):
    config("[downloader]\n[host.'a.example']\nheaders = ['@/nonexistent']")

    message = load_refusal()

    assert "may not be set" in message
    assert "nonexistent" not in message


def test_a_planted_path_through_a_link_out_of_the_folder_is_refused(config, workdir):
    (workdir / "innocent").symlink_to("/usr")
    config("[downloader]\noutput = 'innocent/lib'")

    assert "leads out" in load_refusal()


def test_a_config_in_the_folder_may_set_paths_inside_of_it(config):
    config("[downloader]\noutput = 'a/b'")

    assert loaded().output == "a/b"


def test_a_named_file_may_set_everything(named, tmp_path):
    (tmp_path / "ca.pem").touch()
    path = named(
        "[downloader]\n"
        "headers = ['A: b']\nnetrc = true\ninsecure = true\n"
        f"proxy = 'http://p:1'\ncacert = '{tmp_path}/ca.pem'\noutput = '{tmp_path}/x'\n"
        "[host.'API.example:8080']\nheaders = ['Authorization: Bearer s']\n"
    )

    settings = loaded(path=path)

    assert settings.headers == (("A", "b"),)
    assert settings.netrc
    assert settings.insecure
    assert settings.cacert == f"{tmp_path}/ca.pem"
    assert settings.host_headers == {
        "api.example:8080": (("Authorization", "Bearer s"),)
    }


@pytest.mark.parametrize(
    ("given", "known"),
    [("[::1]", "::1"), ("[::1]:8080", "[::1]:8080"), ("a.test:80", "a.test:80")],
)
def test_a_hosts_table_is_known_as_its_urls_are(given, known):
    settings = Settings.make({}, host_headers={given: ["A: b"]})
    url = parse(f"http://{given}/")

    assert list(settings.host_headers) == [known]
    assert known in {url.host, url.host_key}


def test_the_host_tables_of_both_files_hold_and_the_named_file_goes_first(
    named, users_own
):
    users_own(
        "[host.a]\nheaders = ['X: user']\nallow_http = true\n"
        "[host.b]\nheaders = ['X: user']\nallow_http = true"
    )

    settings = loaded(path=named("[host.b]\nheaders = ['X: named']"))

    assert settings.host_headers == {"a": (("X", "user"),), "b": (("X", "named"),)}
    assert settings.allow_http == {"a"}


@pytest.mark.parametrize("host", ["", "a b", "http://a", "a:0", "a:65536", "a/b", "ü"])
def test_a_host_table_with_an_impossible_name_is_an_error(named, host):
    assert "host" in load_refusal(path=named(f"[host.'{host}']\nheaders = []"))


@pytest.mark.parametrize(
    "text",
    [
        "host = 1",
        "[host]\na = 1",
        "[host.a]\nheader = ['A: b']",
        "[host.a]\nheaders = 1",
        "[host.a]\nallow_http = 'yes'",
    ],
)
def test_a_malformed_host_table_is_an_error(named, text):
    assert "host" in load_refusal(path=named(text))


def test_without_a_home_there_is_no_user_configuration(monkeypatch, workdir):
    for folders in ("downloader", ".config/downloader"):
        planted = workdir / "~" / folders
        planted.mkdir(parents=True)
        (planted / "config.toml").write_text("[downloader]\nretries = 9")
    monkeypatch.setenv("HOME", "~")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr("platformdirs.user_config_path", lambda name: Path("~", name))

    assert loaded().retries == 3


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere platformdirs is asked")
@pytest.mark.parametrize("home", [None, "", "/xdg", "/xdg/", "relative", " "])
def test_the_users_folder_is_where_platformdirs_says(monkeypatch, home):
    monkeypatch.setenv("HOME", "/home/me")
    if home is None:
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CONFIG_HOME", home)
    expected = platformdirs.user_config_dir("downloader")

    assert os.path.normpath(config_files._user_folder()) == os.path.normpath(expected)


def test_a_tilde_in_a_file_or_variable_is_the_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")

    assert loaded(environ={"DOWNLOADER_OUTPUT": "~/x"}).output == "/home/me/x"
    assert loaded({"output": "~/x"}).output == "~/x"


def test_quiet_and_verbose_exclude_each_other():
    assert "exclude" in load_refusal({"quiet": True}, {"DOWNLOADER_VERBOSE": "1"})


def test_make_takes_friendly_values():
    settings = Settings.make(
        {},
        output=Path("papers"),
        limit_rate="500K",
        per_host="none",
        workers="AUTO",
        headers={"A": "b"},
        timeout=5,
    )

    assert settings.output == "papers"
    assert settings.limit_rate == 512_000
    assert settings.per_host is None
    assert settings.workers is None
    assert settings.headers == (("A", "b"),)
    assert settings.timeout == 5.0


def test_make_takes_none_for_what_none_stands_for():
    settings = Settings.make({}, per_host=None, user_agent=None, report=None)

    assert settings.per_host is None
    assert settings.user_agent.startswith("downloader/")


def test_make_refuses_an_unknown_keyword_with_a_suggestion():
    assert (
        refusal(worker=3) == "worker: no setting has this name; did you mean workers?"
    )


def test_make_reads_the_processes_environment_unless_told_otherwise(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://p:1")

    assert named_proxies(Settings.make()) == {"https": ("http://p:1", "https_proxy")}
    assert Settings.make({}).proxies == Proxies()


def test_make_takes_headers_by_host():
    settings = Settings.make({}, host_headers={"A.example": {"X": "y"}})

    assert settings.host_headers == {"a.example": (("X", "y"),)}
    assert "host_headers" in refusal(host_headers=["a"])


def test_make_takes_the_hosts_that_may_have_secrets_over_http():
    hosts = {"A.example": {"X": "y"}, "[::1]": {"X": "y"}}
    settings = Settings.make({}, host_headers=hosts, allow_http=["a.EXAMPLE", "[::1]"])

    assert settings.allow_http == {"a.example", "::1"}
    for wrong in ("a.example", 1, ["b.example"], ["a b"]):
        assert "allow_http" in refusal(host_headers=hosts, allow_http=wrong)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("1", 1),
        ("500K", 512_000),
        ("500k", 512_000),
        ("2M", 2 << 20),
        ("1.5MiB", 3 << 19),
        ("1 GB", 1 << 30),
        ("1T", 1 << 40),
        (4096, 4096),
        ("none", None),
    ],
)
def test_rates(text, size_bytes):
    assert Settings.make({}, limit_rate=text).limit_rate == size_bytes


@pytest.mark.parametrize("rate", ["", "0", "0.1", "-1", "K", "1e3", "fast", -2, True])
def test_bad_rates(rate):
    assert refusal(limit_rate=rate).startswith("limit_rate")


@pytest.mark.parametrize(
    "timeout", [0, -1, math.nan, math.inf, -math.inf, 1e9, "30", None, True]
)
def test_a_timeout_is_positive_and_finite(timeout):
    assert refusal(timeout=timeout).startswith("timeout")


def test_a_timeout_beyond_all_floats_is_refused_like_any_other():
    assert refusal(timeout=10**400).startswith("timeout")


@pytest.mark.parametrize("given", ["", "200", "4x", "403;404", "600", True, [], ["x"]])
def test_statuses_to_retry_are_errors_or_classes_of_them(given):
    assert "must be statuses from 400 to 599" in refusal(retry_on=given)


def test_statuses_to_retry_may_be_numbers():
    assert Settings.make(retry_on=404).retry_on == "404"
    assert Settings.make(retry_on=[404, "5xx", 202]).retry_on == "404,5xx,202"


@pytest.mark.parametrize("name", ["workers", "per_host"])
@pytest.mark.parametrize("count", [0, -1, 1.5, True, "many", 10**9])
def test_workers_and_per_host_are_at_least_one(name, count):
    assert refusal(**{name: count}).startswith(name)


def test_no_pause_at_all_is_a_pause():
    assert Settings.make({}, backoff_seconds=0).backoff_seconds == 0.0
    assert refusal(backoff_seconds=-0.1).startswith("backoff_seconds")


def test_an_unknown_strategy_or_layout_comes_with_a_suggestion():
    assert "did you mean threads?" in refusal(strategy="thread")
    assert "did you mean tree?" in refusal(layout="TREE")


@pytest.mark.parametrize(
    ("headers", "clue"),
    [
        (["nocolon s3cret"], "colon"),
        (["s3cret with blanks and (signs): x"], "a line"),
        ([": s3cret"], "no header"),
        (["A: s3\r\nB: cret"], "line break"),
        (["A: s3cret\x00"], "control"),
        (["A: s3cret €"], "Latin-1"),
        (["User-Agent: s3cret"], "--user-agent"),
        (["Range: bytes=0-1"], "by the program itself"),
        ([("A", 1)], "Name: value"),
        ("A: s3cret", "list"),
    ],
)
def test_a_bad_header_is_refused_without_showing_its_value(headers, clue):
    message = refusal(headers=headers)

    assert clue in message
    assert "s3" not in message


def test_header_values_are_trimmed_and_may_be_empty_or_latin_1():
    settings = Settings.make({}, headers=["A:  b \t", "C:", "D: é"])

    assert settings.headers == (("A", "b"), ("C", ""), ("D", "é"))


def test_headers_from_a_file_keep_order_and_skip_comments(workdir):
    (workdir / "h.txt").write_bytes(b"\xef\xbb\xbfA: 1\r\n\r\n# no\r\nB: 2")

    settings = Settings.make({}, headers=["X: 0", "@h.txt", "Y: 3"])

    assert settings.headers == (("X", "0"), ("A", "1"), ("B", "2"), ("Y", "3"))


@pytest.mark.parametrize("content", [None, b"\xff", b"nocolon"])
def test_a_header_file_that_cannot_be_used_is_an_error(workdir, content):
    if content is not None:
        (workdir / "h.txt").write_bytes(content)

    assert refusal(headers=["@h.txt"]).startswith("headers")


def test_flags_take_one_header_each_so_that_a_line_break_is_an_error():
    assert "line break" in load_refusal({"headers": ["A: b\nC: d"]})


def named_proxies(settings):
    """What each scheme's proxy is, and who names it."""
    found = settings.proxies.by_scheme.items()
    return {scheme: (proxy.url, proxy.source) for scheme, proxy in found}


@pytest.mark.parametrize(
    "proxy",
    [
        "socks4://h:1",
        "h:1",
        "http://",
        "http://h:0",
        "http://h:x",
        "http://a b",
        "http://\xfc:1",
        1,
        "",
    ],
)
def test_bad_proxies(proxy):
    assert refusal(proxy=proxy).startswith("proxy")


def test_the_message_about_a_proxy_hides_its_password():
    message = refusal(proxy="socks4://me:s3cret@h:1")

    assert "***@h:1" in message
    assert "s3cret" not in message


def test_a_proxy_that_was_asked_for_goes_before_the_environments():
    environ = {"http_proxy": "http://e:1", "no_proxy": "x"}

    settings = loaded({"proxy": "HTTP://p:1"}, environ)

    assert settings.proxy == "HTTP://p:1"
    assert settings.proxies == Proxies({"all": Proxy("HTTP://p:1", "--proxy")})


def test_none_as_proxy_turns_the_environments_off():
    settings = loaded({"proxy": "none"}, {"http_proxy": "http://e:1"})

    assert (settings.proxy, settings.proxies) == (None, Proxies())


def test_auto_as_proxy_brings_the_environments_back(named):
    path = named("[downloader]\nproxy = 'http://p:1'")

    settings = loaded({"proxy": "auto"}, {"http_proxy": "http://e:1"}, path)

    assert named_proxies(settings) == {"http": ("http://e:1", "http_proxy")}


def test_a_proxy_is_known_with_the_file_that_names_it(named):
    path = named("[downloader]\nproxy = 'http://p:1'")

    (proxy,) = loaded({}, {}, path).proxies.by_scheme.values()

    assert proxy.source == f"{path}:2: proxy"


@pytest.mark.parametrize(
    ("environ", "proxies"),
    [
        ({"http_proxy": "http://a:1"}, {"http": "http://a:1"}),
        ({"http_proxy": "a:1"}, {"http": "http://a:1"}),
        ({"HTTPS_PROXY": "http://a:1"}, {"https": "http://a:1"}),
        (
            {"http_proxy": "http://a:1", "HTTP_PROXY": "http://b:1"},
            {"http": "http://a:1"},
        ),
        ({"http_proxy": "", "HTTP_PROXY": "http://b:1"}, {}),
        ({"HTTP_PROXY": "http://a:1"}, {"http": "http://a:1"}),
        ({"HTTP_PROXY": "http://a:1", "REQUEST_METHOD": "GET"}, {}),
        (
            {"http_proxy": "http://a:1", "REQUEST_METHOD": "GET"},
            {"http": "http://a:1"},
        ),
        (
            {"ALL_PROXY": "http://a:1", "NO_PROXY": "b,c"},
            {"all": "http://a:1", "no": "b,c"},
        ),
        ({"no_proxy": "b"}, {}),
        (
            {
                "http_proxy": "http://a:1",
                "https_proxy": "http://b:1",
                "all_proxy": "socks5://c:1",
            },
            {"http": "http://a:1", "https": "http://b:1", "all": "socks5://c:1"},
        ),
    ],
)
def test_proxies_of_the_environment(environ, proxies):
    found = loaded(environ=environ).proxies
    urls = {scheme: proxy.url for scheme, proxy in found.by_scheme.items()}
    exceptions = {"no": found.exceptions} if found.exceptions else {}

    assert {**urls, **exceptions} == proxies


def test_an_unusable_proxy_of_the_environment_has_a_fault_that_names_the_way_out():
    settings = loaded(environ={"all_proxy": "socks4://me:s3cret@h:1"})
    message = settings.proxies.by_scheme["all"].fault

    assert message.startswith("all_proxy")
    assert "--proxy none" in message
    assert "s3cret" not in message


def test_authorities_of_the_environment_hold_in_their_order(tmp_path):
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR")
    paths = [tmp_path / name for name in names]
    for path in paths[:3]:
        path.touch()
    paths[3].mkdir()
    environ = {name: str(path) for name, path in zip(names, paths, strict=True)}

    found = []
    for name in names:
        found.append(loaded(environ=environ).cacert)
        del environ[name]

    assert found == [str(path) for path in paths]
    assert loaded(environ=environ).cacert is None


@pytest.mark.parametrize(
    "name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"]
)
def test_a_variable_that_names_missing_authorities_is_an_error(name):
    assert load_refusal(environ={name: "/nowhere"}).startswith(f"{name} '/nowhere'")


def test_cacert_goes_before_the_variables(tmp_path):
    (tmp_path / "ca.pem").touch()
    path = str(tmp_path / "ca.pem")

    assert loaded({"cacert": path}, {"SSL_CERT_FILE": "/nowhere"}).cacert == path
    assert refusal(cacert="/nowhere").startswith("cacert '/nowhere'")


def test_an_output_that_is_a_file_or_below_one_is_an_error(workdir):
    (workdir / "file").touch()
    (workdir / "broken").symlink_to("nowhere")

    assert "not a folder" in refusal(output="file")
    assert "not a folder" in refusal(output="file/below")
    assert "not a folder" in refusal(output="broken")
    assert Settings.make({}, output="new/below").output == "new/below"


def test_a_report_needs_a_folder_and_is_none(workdir):
    (workdir / "folder").mkdir()

    assert "'missing' does not exist" in refusal(report="missing/r.json")
    assert "is a folder" in refusal(report="folder")
    (workdir / "link").symlink_to(workdir / "gone" / "r.json")
    assert "gone' does not exist" in refusal(report="link")
    assert Settings.make({}, report="folder/r.json").report == "folder/r.json"
    assert Settings.make({}, report="/dev/null").report == "/dev/null"


def test_the_portable_names_default_follows_the_platform():
    assert Settings().portable_names is (sys.platform in ("darwin", "win32"))


def test_the_repr_shows_neither_header_values_nor_passwords():
    settings = Settings.make(
        {"http_proxy": "http://me:s3cret@p:1"},
        headers={"Authorization": "s3cret"},
        host_headers={"a": {"Cookie": "s3cret"}},
    )

    assert "s3cret" not in repr(settings)
    assert "Authorization" in repr(settings)
    assert "s3cret" not in repr(Settings.make({}, proxy="http://me:s3@cret@p:1"))


def test_settings_survive_pickling():
    settings = Settings.make({}, headers={"A": "b"}, host_headers={"c": []})

    assert pickle.loads(pickle.dumps(settings)) == settings


@given(st.sampled_from([option.name for option in OPTIONS]), st.text())
def test_any_text_in_a_flag_is_taken_or_refused_and_never_crashes(name, text):
    with contextlib.suppress(InvalidSettings):
        load({name: text}, {}, "/nonexistent", os.devnull)


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("min_segment_size", "63K", 65_536), ("max_file_size", 0, 1)],
)
def test_a_size_has_its_least(name, value, least):
    with pytest.raises(InvalidSettings, match=rf"{name}.*bytes, {least} at least"):
        Settings.make(**{name: value})
