"""Options that have one name everywhere: hyphens or underscores, old and short names, and a hint for a wrong one.

Their help is prose that fits the terminal and examples that can be copied, in the words that the command was called
with.
"""

from __future__ import annotations

import itertools
import re
import sys
import textwrap
from argparse import Action, ArgumentParser, HelpFormatter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from preprocessing.calling import spoken
from preprocessing.nearest import nearest
from preprocessing.own_code import run_code

SAME = (
    ("--slicing", "--slice"),
    ("--batch-size", "--batch", "--loader.batch-size"),
    ("--lr", "--learning-rate", "--optim.lr"),
    ("--optimizer", "--optim.name"),
    ("--weight-decay", "--optim.weight-decay"),
    ("--validation", "--loader.validation"),
    ("--workers", "--loader.workers"),
    ("--workers", "--threads"),
    ("--threads", "--num-threads"),
    ("--epochs", "--num-epochs"),
    ("--samples", "--num-samples"),
)
"""Names that mean the same wherever a command has one of them."""

if TYPE_CHECKING:
    _Base = ArgumentParser
else:
    _Base = object


_CHOICE = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)$")


class OneName(_Base):
    """What our parsers have in common, for a class before one of argparse's or jsonargparse's."""

    def own_words(self, args: Sequence[str] | None) -> list[str]:
        """The arguments, or the process's own, with names as this parser has them.

        What ``--import`` names is run: only then are the others' values known.
        """
        words, rest = _until_ends(sys.argv[1:] if args is None else args)
        words = [self._own_name(word) for word in words]
        if "--import" in self._option_string_actions:
            for name in values_of("--import", words):
                run_code(name)
        return [*words, *rest]

    def _own_name(self, word: str) -> str:
        """An option as this parser calls it; any other word as it is."""
        name, equals, value = word.partition("=")
        known = self._option_string_actions
        if not name.startswith("--") or name in known:
            return word
        by_sign = {_hyphens(each): each for each in known}
        wanted = _hyphens(name)
        found = by_sign.get(wanted)
        for group in SAME if found is None else ():
            if wanted in group and found is None:
                found = next((by_sign[each] for each in group if each in by_sign), None)
        return f"{found or name}{equals}{value}"

    def error(self, message: str, *args: Any, **kwargs: Any) -> NoReturn:
        """As argparse's, with the nearest name where one is not known."""
        unknown = [word.partition("=")[0] for word in message.replace("'", " ").split() if word.startswith("--")]
        if "nrecognized" in message and unknown:
            message += nearest(_hyphens(unknown[0]), sorted(self._names()))
        if choice := _CHOICE.search(message):
            message += nearest(choice[1], [each.strip("' ") for each in choice[2].split(",")])
        self.prog = spoken(self.prog)
        super().error(spoken(message), *args, **kwargs)

    def _names(self) -> set[str]:
        """Names of all options, short ones among them."""
        known = {each for each in self._option_string_actions if each.startswith("--")}
        signs = {_hyphens(each) for each in known}
        return known | {each for group in SAME if signs & set(group) for each in group}

    def format_help(self, *args: Any) -> str:
        """As argparse's, in the words that the command was called with."""
        self.prog = spoken(self.prog)
        return super().format_help(*args)

    def format_usage(self) -> str:
        """Likewise."""
        self.prog = spoken(self.prog)
        return super().format_usage()


class Lines(HelpFormatter):
    """Help that fills prose, and breaks neither lines with examples nor names with hyphens in them."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        filled = []
        for kept, alike in itertools.groupby(spoken(text).strip("\n").splitlines(), _is_kept):
            lines = list(alike)
            filled += lines if kept else textwrap.wrap(" ".join(lines), width, break_on_hyphens=False)
        return "\n".join(indent + line for line in filled)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def start_section(self, heading: str | None) -> None:
        """Begin a section below a heading that fits the terminal, too."""
        super().start_section(heading and textwrap.fill(heading, self._width - 1, break_on_hyphens=False))

    def _expand_help(self, action: Action) -> str:
        return spoken(super()._expand_help(action))


def _is_kept(line: str) -> bool:
    """Whether a line is no prose: an example, an entry of a list, or between paragraphs."""
    return not line.strip() or line[0].isspace() or line.startswith(("example", "Example"))


class Parser(OneName, ArgumentParser):
    """argparse's parser with such options; one that nobody knows is an error of the command that it was given to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", Lines)
        super().__init__(*args, **kwargs)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, with nothing left over."""
        parsed, unknown = super().parse_known_args(self.own_words(args), namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown


def _hyphens(name: str) -> str:
    return "--" + name[2:].replace("_", "-")


def _until_ends(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words up to a ``--``, and the rest with it."""
    words = list(words)
    end = words.index("--") if "--" in words else len(words)
    return words[:end], words[end:]


def values_of(option: str, words: Sequence[str]) -> list[str]:
    """What an option is given, each time."""
    apart = [following for word, following in itertools.pairwise(words) if word == option]
    return apart + [word.partition("=")[2] for word in words if word.startswith(f"{option}=")]
