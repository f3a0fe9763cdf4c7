"""The command line's grammar: verbs and flags to an `Invocation`, and the help.

Values are not judged here: a flag's text goes on as typed to `downloader.settings`,
which holds every source to the same rules. Only light modules may be imported.
"""

from __future__ import annotations

from downloader.errors import UsageError
from downloader.options import BY_NAME, CONFIG, OPTIONS, Option, closest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

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
        purpose="write bench.json and bench.html into DIR",
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
        "A checksum behind a URL, sha256=HEX or md5=HEX say, is enforced. Files that are\n"
        "there already are skipped, parts of files are gone on with.",
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
    from downloader.cli.grammar import main_parser

    main_parser(VERBS).parse_known_args(argv[:1])
    raise UsageError(_wrong_verb(first))


def _wrong_verb(first: str) -> str:
    from downloader.policy.redaction import redact

    verbs = " or ".join(VERBS)
    if not first:
        return f"no verb given: {verbs}; downloader --help says more"
    first = redact(first)
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
    flags, operands = _read_plain(verb, argv[:cut]) or _read_any(name, verb, argv[:cut])
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


def _read_plain(
    verb: Verb, argv: Sequence[str]
) -> tuple[dict[str, object], list[str]] | None:
    """What `_read_any` would say of words without doubt, 10 ms sooner; None of others."""
    options = {flag: one for one in verb.options for flag in (*one.flags, *one.aliases)}
    flags: dict[str, object] = {}
    lists: dict[str, list[str]] = {}
    operands: list[str] = []
    words = iter(argv)
    for word in words:
        if not word.startswith("-") or word == "-":
            operands.append(word)
            continue
        flag, equals, value = word.partition("=")
        option = options.get(flag)
        if option is None or (equals and not _takes_equals(option, flag)):
            return None
        if option.kind == "bool":
            flags[option.name] = True
            continue
        text = value if equals else next(words, "-")
        # Two reports are in doubt: the second one must not silently be the only one.
        if text.startswith("-") or (option.kind == "report" and option.name in flags):
            return None
        flags[option.name] = text
        if option.kind == "headers":
            flags[option.name] = lists.setdefault(option.name, [])
            lists[option.name].append(text)
    return flags, operands


def _takes_equals(option: Option, flag: str) -> bool:
    return option.kind != "bool" and flag.startswith("--")


def _read_any(
    name: str, verb: Verb, argv: Sequence[str]
) -> tuple[dict[str, object], list[str]]:
    """The flags and operands as argparse finds them, which knows of help and mistakes."""
    from downloader.cli.grammar import verb_parser

    given, others = verb_parser(name, verb).parse_known_args(argv)
    flags: dict[str, object] = vars(given)
    return flags, [*_words(flags.pop("sources", [])), *others]


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
