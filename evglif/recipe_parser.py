"""A parser that takes a recipe's values one by one, and its help, which looks like that of the other commands.

Apart from ``train``, since jsonargparse is loaded with it.
"""

from __future__ import annotations

import argparse
import re
from argparse import SUPPRESS, Action
from typing import Any, NoReturn

from jsonargparse import ActionConfigFile, ArgumentParser, DefaultHelpFormatter  # type: ignore[attr-defined]

from evglif.recipe import read_recipe, recipe_path
from preprocessing.options import Lines, OneName


class RecipeFile(ActionConfigFile):
    """A config file of a recipe, and of nothing else; it may also be named like one of the package."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Take the file's values."""
        path = recipe_path(values)
        read_recipe(values)  # a file that says where to write, or what to overwrite, is no recipe
        super().__call__(parser, namespace, str(path), option_string)  # type: ignore[no-untyped-call]


class RecipeHelp(Lines, DefaultHelpFormatter):
    """Shows defaults that a reader can type, and neither types nor what stands for no value."""

    def _get_help_string(self, action: Action) -> str:
        told = action.help or ""
        says_nothing = action.default in (None, SUPPRESS) or action.nargs == 0 or action.default == []
        return told if says_nothing or "default:" in told else f"{told} (default: %(default)s)"


class OneLine(ArgumentParser):
    """jsonargparse's, whose errors are as those of other commands."""

    def error(self, message: str, *_: Any, **__: Any) -> NoReturn:
        """In one line, of the option that was typed, with types by words."""
        told = re.sub(r'^Parser key "([^"]+)":', r"argument --\1:", " ".join(message.split()))
        told = re.sub(r"<class '(\w+)'>", lambda found: _TYPES.get(found[1], found[1]), told)
        argparse.ArgumentParser.error(self, told)


_TYPES = {"float": "number", "int": "whole number", "bool": "choice, true or false", "str": "text"}


class RecipeParser(OneName, OneLine):
    """jsonargparse's, with options that have one name everywhere."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, formatter_class=RecipeHelp, print_config=None, **kwargs)

    def format_help(self, *args: Any) -> str:
        """Without the signs of the docstrings that it is from."""
        return super().format_help(*args).replace("``", "")
