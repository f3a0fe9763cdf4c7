import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.cli.arguments import VERBS, _read_any, _read_plain, parse
from downloader.errors import UsageError
from downloader.options import BY_NAME, OPTIONS

HEAVY = ("aiohttp", "dataclasses", "logging", "msgspec", "requests", "sqlite3", "tqdm")


def refusal(*argv):
    with pytest.raises(UsageError) as caught:
        parse(argv)
    return str(caught.value)


def printed(capsys, *argv):
    with pytest.raises(SystemExit) as caught:
        parse(argv)
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_words_that_are_no_flags_are_sources_in_their_order():
    invocation = parse(["fetch", "a", "-o", "d", "b", "-x", "3", "-", "c"])

    assert invocation.sources == ("a", "b", "-", "c")
    assert invocation.flags == {"output": "d", "per_host": "3"}


def test_flags_may_stand_first():
    assert parse(["fetch", "-q", "-j5", "a", "b"]).sources == ("a", "b")


def test_after_two_dashes_everything_is_a_source():
    assert parse(["fetch", "a", "--", "-b", "--quiet"]).sources == (
        "a",
        "-b",
        "--quiet",
    )


def test_only_flags_that_were_given_are_set():
    assert parse(["fetch", "a"]).flags == {}


def test_values_go_on_as_typed():
    flags = parse(["fetch", "a", "--retries", "-1", "--timeout=nan"]).flags

    assert flags == {"retries": "-1", "timeout": "nan"}


FLAGS = [f for o in VERBS["fetch"].options for f in (*o.flags, *o.aliases)]
WORDS = st.one_of(
    st.sampled_from(FLAGS),
    st.sampled_from(FLAGS).map(lambda flag: f"{flag}=5"),
    st.sampled_from(
        ["", "-", "a", "b=c", "-5", "-q5", "-o=x", "--quiet=", "--x", "-h"]
    ),
    st.sampled_from(["--output=", "--no-quiet", "--outp", "- a", "A: b", "-j5"]),
)


@given(st.lists(WORDS, max_size=8))
def test_plain_words_are_read_as_argparse_reads_them(argv):
    read = _read_plain(VERBS["fetch"], argv)

    assert read is None or read == _read_any("fetch", VERBS["fetch"], argv)


@pytest.mark.parametrize(
    "argv",
    [
        ["fetch", "a", "-o", "b", "-q", "-s", "curl", "--workers=5", "-"],
        ["fetch", "-H", "A: b", "--header=C: d", "urls.txt", "--cacert", "x"],
        ["demo", "--files", "5", "-q"],
        ["bench", "--quick", "-s", "curl"],
    ],
)
def test_plain_words_need_no_argparse(argv):
    assert _read_plain(VERBS[argv[0]], argv[1:]) is not None


@pytest.mark.parametrize("flag", ["-o", "--output", "-d", "-P"])
def test_the_output_has_aliases(flag):
    assert parse(["fetch", "a", flag, "x"]).flags == {"output": "x"}


def test_headers_add_up():
    flags = parse(["fetch", "a", "-H", "A: b", "--header", "C: d"]).flags

    assert flags == {"headers": ["A: b", "C: d"]}


@pytest.mark.parametrize("second", [["--report", "b.html"], ["--report=-"]])
def test_a_second_report_is_refused_and_not_the_only_one(second):
    text = refusal("fetch", "a", "--report", "a.json", *second)

    assert "--report is given twice, 'a.json' and " in text


def test_the_same_report_twice_is_one():
    flags = parse(["fetch", "a", "--report", "r", "-q", "--report=r"]).flags

    assert flags == {"report": "r", "quiet": True}


def test_the_configuration_is_no_setting():
    invocation = parse(["fetch", "a", "--config", "mine.toml"])

    assert invocation.config == "mine.toml"
    assert invocation.flags == {}
    assert "must name a file" in refusal("fetch", "a", "--config", "")


@pytest.mark.parametrize(
    "option", [o for o in OPTIONS if o.kind == "bool"], ids=lambda option: option.name
)
def test_each_switch_can_be_turned_off_again(option):
    opposite = f"--no-{option.flag[2:]}".replace("--no-no-", "--")

    assert parse(["fetch", "a", option.flag]).flags == {option.name: True}
    assert parse(["fetch", "a", option.flag, opposite]).flags == {option.name: False}


def test_the_demo_has_flags_of_its_own():
    invocation = parse(["demo", "--files", "5", "--seed", "2", "-s", "serial"])

    assert invocation.own == {"files": "5", "seed": "2"}
    assert invocation.flags == {"strategy": "serial"}


def test_the_demo_takes_no_list():
    assert "'urls.txt'" in refusal("demo", "urls.txt")


def test_a_fetch_needs_something_to_fetch():
    assert refusal("fetch", "-q").startswith("no list and no URL given: ")
    assert "empty" in refusal("fetch", "")
    assert "twice" in refusal("fetch", "-", "-")


@pytest.mark.parametrize(
    ("flag", "meant"),
    [
        ("--workes", "--workers"),
        ("--per_host=3", "--per-host"),
        ("--verison", "--version"),
    ],
)
def test_an_unknown_flag_comes_with_a_suggestion(flag, meant):
    assert refusal("fetch", flag, "a").endswith(f"; did you mean {meant}?")


def test_flags_are_not_completed():
    assert "--work" in refusal("fetch", "--work", "5", "a")


def test_a_flag_without_its_value_is_an_error():
    assert "--workers" in refusal("fetch", "a", "-j")


def test_an_unknown_verb_comes_with_a_suggestion():
    assert refusal("fecth").endswith("did you mean fetch?")
    assert refusal("urls.txt").endswith("did you mean downloader fetch urls.txt?")
    assert "behind" in refusal("-q", "fetch")
    assert "no verb given" in refusal()


def test_the_help_lists_the_verbs_and_two_examples(capsys):
    text = printed(capsys, "--help")

    assert all(f"  {verb} " in text for verb in VERBS)
    assert text.partition("examples:\n")[2].count("  downloader ") == 2


@pytest.mark.parametrize("verb", VERBS)
def test_a_verbs_help_is_grouped_and_ends_with_two_examples(capsys, verb):
    text = printed(capsys, verb, "--help")
    headings = [
        line for line in text.splitlines() if line.endswith(":") and line[0] != " "
    ]

    assert headings == ["what:", "where:", "how:", "output:", "examples:"]
    assert text.partition("examples:\n")[2].count("  downloader ") == 2


@pytest.mark.parametrize("verb", VERBS)
def test_the_examples_of_the_help_parse(verb):
    for example in VERBS[verb].examples:
        assert parse(example.split()[1:]).verb == verb


def test_the_help_shows_every_flag_with_its_default(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    text = printed(capsys, "fetch", "--help")

    assert all(option.flag in text for option in OPTIONS)
    assert all(
        f"(default: {BY_NAME[name].file_default:{form}})" in text
        for name, form in [("timeout", "g"), ("workers", ""), ("output", "")]
    )


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_each_purpose_is_a_sentence_in_lower_case_without_a_full_stop(option):
    assert option.purpose[0].islower()
    assert not option.purpose.endswith(".")
    assert option.help.isascii()


@pytest.mark.parametrize("width", ["20", "0", "wide"])
def test_the_help_fits_any_terminal(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)

    assert "--output" in printed(capsys, "fetch", "--help")


def test_the_version_is_one_line(capsys):
    assert printed(capsys, "--version") == printed(capsys, "fetch", "--version")


@pytest.mark.parametrize("arguments", [["--help"], ["fetch", "--help"]])
def test_the_help_loads_nothing_heavy(arguments):
    code = (
        "import sys; from downloader.cli import main; main(sys.argv[1:]);"
        f"sys.exit(' '.join(name for name in {HEAVY} if name in sys.modules) or 0)"
    )
    # -S keeps what an environment's .pth files load out of the count.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_help_says_what_becomes_of_files_that_are_there(capsys):
    text = " ".join(printed(capsys, "fetch", "--help").split())

    assert "Files that are there already are skipped" in text
