"""The command line's grammar: verbs and flags to an `Invocation`, and the help.

Values are not judged here: a flag's text goes on as typed to `downloader.settings`,
which holds every source to the same rules. Only light modules may be imported.
"""

from __future__ import annotations

import argparse
import os
import sys

from downloader.errors import UsageError
from downloader.options import BY_NAME, CONFIG, OPTIONS, Option, closest
from downloader.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

__all__ = ["BENCH_OPTIONS", "DEMO_OPTIONS", "VERBS", "Invocation", "Verb", "parse"]


class Invocation:
    """What one call of the command asks for.

    Attributes:
        verb: The verb's name.
        sources: The list files, URLs and `-`, in their order.
        flags: The settings given as flags, by option name, as typed.
        config: The argument of `--config`, None without one.
        own: The flags that are no settings, by option name, as typed.
    """

    __slots__ = ("config", "flags", "own", "sources", "verb")

    def __init__(
        self,
        verb: str,
        sources: tuple[str, ...],
        flags: dict[str, object],
        config: str | None,
        own: dict[str, object],
    ) -> None:
        self.verb = verb
        self.sources = sources
        self.flags = flags
        self.config = config
        self.own = own


class Verb:
    """One verb: what the help says about it, and the options that it takes.

    Attributes:
        summary: One line for the list of verbs.
        description: What the verb does, for its own help.
        operand: What the words that are no flags stand for; empty if it takes none.
        is_operand_needed: False if it has something to do without them.
        options: The options, settings and own ones.
        examples: Two lines that work.
    """

    __slots__ = (
        "description",
        "examples",
        "is_operand_needed",
        "operand",
        "options",
        "summary",
    )

    def __init__(
        self,
        *,
        summary: str,
        description: str,
        operand: str,
        options: tuple[Option, ...],
        examples: tuple[str, str],
        is_operand_needed: bool = True,
    ) -> None:
        self.is_operand_needed = is_operand_needed
        self.summary = summary
        self.description = description
        self.operand = operand
        self.options = options
        self.examples = examples


DEMO_OPTIONS = (
    Option(
        "files",
        "count",
        default=300,
        purpose="let the site have N files",
        flags=("--files",),
        group="what",
        metavar="N",
        minimum=1,
    ),
    Option(
        "latency",
        "pause",
        default=0.02,
        purpose="let the site wait SECONDS before each answer",
        flags=("--latency",),
        group="what",
        metavar="SECONDS",
    ),
    Option(
        "seed",
        "count",
        default=1,
        purpose="make the site's names and contents from the number N",
        flags=("--seed",),
        group="what",
        metavar="N",
    ),
)

BENCH_OPTIONS = (
    Option(
        "quick",
        "bool",
        default=False,
        purpose="end within a minute, with fewer repeats and latency-bound work only",
        flags=("--quick",),
        group="what",
    ),
    Option(
        "strategies",
        "text",
        default=None,
        purpose="compare the strategies NAME,NAME,... and no others; without serial there is no "
        "speed-up to tell",
        flags=("-s", "--strategies"),
        group="what",
        metavar="NAMES",
    ),
    Option(
        "worker_counts",
        "text",
        default=None,
        purpose="draw curves over N,N,... workers on the latency-bound work or your list",
        flags=("-j", "--workers"),
        group="what",
        metavar="NUMBERS",
    ),
    Option(
        "repeats",
        "count",
        default=None,
        purpose="repeat all at most N times (default: 5 with --quick, 9 without, 3 for a "
        "list); time allows fewer, three decide",
        flags=("--repeats",),
        group="what",
        metavar="N",
        minimum=1,
    ),
    Option(
        "seed",
        "count",
        default=1,
        purpose="draw the order of runs, and resample, by the number N",
        flags=("--seed",),
        group="what",
        metavar="N",
    ),
    Option(
        "bench_output",
        "text",
        default=".",
        purpose="write bench.json into DIR",
        flags=("-o", "--output"),
        group="where",
        metavar="DIR",
    ),
)

_OWN_NAMES = frozenset(option.name for option in (*DEMO_OPTIONS, *BENCH_OPTIONS))
_BENCH_SETTINGS = (
    BY_NAME["headers"],
    BY_NAME["user_agent"],
    BY_NAME["per_host"],
    BY_NAME["timeout"],
    BY_NAME["limit_rate"],
    BY_NAME["proxy"],
    CONFIG,
    BY_NAME["quiet"],
    BY_NAME["verbose"],
)

# The setting of that name, with another default.
_DEMO_OUTPUT = Option(
    "output",
    "folder",
    default=None,
    purpose="keep the files, below DIR (default: a temporary folder, gone at the end)",
    flags=("-o", "--output"),
    aliases=("-d", "-P"),
    group="where",
    metavar="DIR",
)
_DEMO_SETTINGS = (
    _DEMO_OUTPUT,
    BY_NAME["strategy"],
    BY_NAME["workers"],
    BY_NAME["per_host"],
    CONFIG,
    BY_NAME["report"],
    BY_NAME["quiet"],
    BY_NAME["verbose"],
    BY_NAME["no_progress"],
)

VERBS = {
    "fetch": Verb(
        summary="download what lists or arguments name",
        description="Download every URL of the lists and arguments given.\n\n"
        "LIST-or-URL is a URL, a file with a URL a line, or - for standard input.\n"
        "sha256=HEX behind a URL is enforced. Files that are there already are skipped,\n"
        "parts of files are gone on with.",
        operand="LIST-or-URL",
        options=(*OPTIONS, CONFIG),
        examples=(
            "downloader fetch urls.txt -o papers",
            "downloader fetch -s threads -j 20 https://example.org/a.pdf more.txt",
        ),
    ),
    "demo": Verb(
        summary="download a built-in site, without internet",
        description="Start a site on this machine, download all of it, and compare.",
        operand="",
        options=(*DEMO_OPTIONS, *_DEMO_SETTINGS),
        examples=(
            "downloader demo",
            "downloader demo -s processes -j 4 --files 1000 --latency 0.1",
        ),
    ),
    "bench": Verb(
        summary="measure every strategy on this machine, and judge the guidance",
        description="Give every strategy the same work, from a site of this machine's own "
        "or from\nyour lists, and say what the measurements show of ten claims.\n\n"
        "Your own URLs are fetched again and again, by each strategy in each round, "
        "within\nthe limits for each host, into folders that are gone at the end.",
        operand="LIST-or-URL",
        is_operand_needed=False,
        options=(*BENCH_OPTIONS, *_BENCH_SETTINGS),
        examples=(
            "downloader bench --quick",
            "downloader bench urls.txt -s serial,threads,asyncio -j 4,16 -o measured",
        ),
    ),
}

_GROUPS = ("what", "where", "how", "output")
_MAIN_EXAMPLES = ("downloader demo", "downloader fetch urls.txt --report report.json")


def parse(argv: Sequence[str]) -> Invocation:
    """The invocation that the arguments spell.

    Raises:
        UsageError: They spell none; the text suggests what may have been meant.
        SystemExit: `--help` or `--version` has been printed.
    """
    first, *rest = argv or ("",)
    if first in VERBS:
        return _parse_verb(first, rest)
    # Only what stands alone is left to say here: --help and --version.
    _main_parser().parse_known_args(argv[:1])
    raise UsageError(_wrong_verb(first))


def _wrong_verb(first: str) -> str:
    verbs = " or ".join(VERBS)
    if not first:
        return f"no verb given: {verbs}; downloader --help says more"
    if first.startswith("-") and first != "-":
        return f"{first} stands before the verb; put it behind, as in downloader fetch {first}"
    near = closest(first, VERBS)
    if near:
        return f"unknown verb {first!r}{near}"
    return f"unknown verb {first!r}: {verbs}; did you mean downloader fetch {first}?"


def _parse_verb(name: str, argv: Sequence[str]) -> Invocation:
    verb = VERBS[name]
    # argparse treats what follows -- in several ways, depending on its version.
    cut = argv.index("--") if "--" in argv else len(argv)
    given, others = _verb_parser(name, verb).parse_known_args(argv[:cut])
    flags: dict[str, object] = vars(given)
    operands = [*_words(flags.pop("sources", [])), *others]
    _refuse_unknown_flags(operands, verb)
    sources = (*operands, *argv[cut + 1 :])
    _check_operands(name, verb, sources)
    return Invocation(
        name,
        sources,
        flags={key: value for key, value in flags.items() if key in BY_NAME},
        config=_config(flags.get(CONFIG.name)),
        own={key: value for key, value in flags.items() if key in _OWN_NAMES},
    )


def _words(value: object) -> list[str]:
    return value if isinstance(value, list) else []


def _config(value: object) -> str | None:
    if value == "":
        raise UsageError("--config '': must name a file")
    return None if value is None else str(value)


def _refuse_unknown_flags(operands: Sequence[str], verb: Verb) -> None:
    known = ["--help", "--version"]
    known += [flag for option in verb.options for flag in option.flags]
    for operand in operands:
        if operand.startswith("-") and operand != "-":
            flag = operand.partition("=")[0]
            raise UsageError(f"unknown option {flag}{closest(flag, known)}")


def _check_operands(name: str, verb: Verb, sources: Sequence[str]) -> None:
    if not verb.operand and sources:
        raise UsageError(f"{name} takes no argument, but {sources[0]!r} was given")
    if verb.operand and verb.is_operand_needed and not sources:
        raise UsageError(
            "no list and no URL given: name a file with a URL a line, a URL, or - for "
            f"standard input; downloader {name} --help says more"
        )
    if "" in sources:
        raise UsageError("an argument is empty: name a list, a URL, or - for stdin")
    if sources.count("-") > 1:
        raise UsageError("- is given twice, but standard input can be read only once")


class _Parser(argparse.ArgumentParser):
    """argparse without its own way of ending the process on an error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal; argparse would load shutil and 3 ms with it to ask."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr] # caught below
    except (AttributeError, ValueError, OSError):
        return 80


def _parser(usage: str, description: str, examples: Sequence[str]) -> _Parser:
    return _Parser(
        prog="downloader",
        usage=usage,
        description=description,
        epilog="\n".join(["examples:", *(f"  {example}" for example in examples)]),
        formatter_class=_Formatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        add_help=False,
    )


def _main_parser() -> _Parser:
    verbs = "\n".join(f"  {name:8}{verb.summary}" for name, verb in VERBS.items())
    parser = _parser(
        "downloader VERB [option ...] [LIST-or-URL ...]",
        "Download many files at once.\n\n"
        f"verbs:\n{verbs}\n\ndownloader VERB --help lists the options of a verb.",
        _MAIN_EXAMPLES,
    )
    _add_help(parser.add_argument_group("output"))
    return parser


def _verb_parser(name: str, verb: Verb) -> _Parser:
    operand = f" {verb.operand} [{verb.operand} ...]" if verb.operand else ""
    if not verb.is_operand_needed:
        operand = f" [{verb.operand} ...]"
    usage = f"downloader {name} [option ...]{operand}"
    parser = _parser(usage, verb.description, verb.examples)
    if verb.operand:
        parser.add_argument("sources", nargs="*", help=argparse.SUPPRESS)
    for title in _GROUPS:
        group = parser.add_argument_group(title)
        for option in verb.options:
            if option.flags and option.group == title:
                _add(group, option)
        if title == _GROUPS[-1]:
            _add_help(group)
    return parser


def _add_help(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-h", "--help", action="help", help="show this and exit")
    group.add_argument(
        "--version",
        action="version",
        version=f"downloader {__version__}",
        help="show the version and exit",
    )


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    if option.kind == "bool":
        _add_switch(group, option)
        return
    action = "append" if option.kind == "headers" else "store"
    group.add_argument(
        *option.flags,
        dest=option.name,
        action=action,
        metavar=option.metavar,
        help=_escaped(option.help),
    )
    if option.aliases:
        group.add_argument(
            *option.aliases, dest=option.name, action=action, help=argparse.SUPPRESS
        )


def _escaped(text: str) -> str:
    """A help text as argparse wants it, which formats it."""
    return text.replace("%", "%%")


def _add_switch(group: argparse._ArgumentGroup, option: Option) -> None:
    """A flag, and its opposite, which overrides a variable or a file."""
    group.add_argument(
        *option.flags, dest=option.name, action="store_true", help=_escaped(option.help)
    )
    word = option.flag.removeprefix("--")
    opposite = word.removeprefix("no-") if word.startswith("no-") else f"no-{word}"
    group.add_argument(
        f"--{opposite}",
        dest=option.name,
        action="store_false",
        help=argparse.SUPPRESS,
    )
