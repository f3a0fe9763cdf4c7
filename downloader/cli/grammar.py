"""argparse's view of the verbs: it writes the help, and judges words that are in doubt."""

from __future__ import annotations

import argparse
import os
import sys

from downloader.errors import UsageError
from downloader.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal, NoReturn

    from downloader.cli.arguments import Verb
    from downloader.options import Option

__all__ = ["main_parser", "verb_parser"]

_GROUPS = ("what", "where", "how", "output")
_MAIN_EXAMPLES = ("downloader demo", "downloader fetch urls.txt --report report.json")


class _Parser(argparse.ArgumentParser):
    """argparse without its own way of ending the process on an error."""

    def error(self, message: str) -> NoReturn:
        from downloader.policy.redaction import redact

        raise UsageError(redact(message))


class _Once(argparse.Action):
    """An option whose second value would not be an override but a loss."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest, values)
        if before != values:
            parser.error(
                f"{option_string} is given twice, {before!r} and {values!r}: a run "
                "writes one report; leave one of them out"
            )
        setattr(namespace, self.dest, values)


# Of other options the last one counts, as scripts expect that add to a command.
_ACTIONS: dict[str, Literal["append"] | type[argparse.Action]] = {
    "headers": "append",
    "report": _Once,
}


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


def main_parser(verbs: Mapping[str, Verb]) -> argparse.ArgumentParser:
    """The parser of what stands before a verb: --help and --version."""
    lines = "\n".join(f"  {name:8}{verb.summary}" for name, verb in verbs.items())
    parser = _parser(
        "downloader VERB [option ...] [LIST-or-URL ...]",
        "Download many files at once.\n\n"
        f"verbs:\n{lines}\n\ndownloader VERB --help lists the options of a verb.",
        _MAIN_EXAMPLES,
    )
    _add_help(parser.add_argument_group("output"))
    return parser


def verb_parser(name: str, verb: Verb) -> argparse.ArgumentParser:
    """The parser of a verb's own flags."""
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
    action = _ACTIONS.get(option.kind, "store")
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
