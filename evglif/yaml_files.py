"""YAML files of a few named values, read without what else YAML can do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from preprocessing.plain import DEEPEST

MOST_BYTES = 100_000
MOST_BRACKETS = 500
MOST_VALUES = 10_000
"""Values of a file, each written out wherever it is referred to (``*name``): such can double with every line."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Takes 1e-3 for a number, too, as everybody does but YAML 1.1."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+"), list("-+0123456789")
)


def read_yaml(path: Path) -> Any:
    """The plain values of a YAML file.

    Raises:
        ValueError: it is none, or larger than a file of settings is.
    """
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it has {path.stat().st_size:,} bytes; expected {MOST_BYTES:,} at most")
    return parse_yaml(path.read_text(encoding="utf-8"))


def parse_yaml(text: str) -> Any:
    """The plain values of a YAML text.

    Raises:
        ValueError: it is none, or holds more than settings do.
    """
    num_brackets = text.count("[") + text.count("{")
    if num_brackets > MOST_BRACKETS:  # each of which the reader of YAML looks at again for every one inside it
        raise ValueError(f"it has {num_brackets:,} brackets; expected {MOST_BRACKETS:,} at most")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        _check_extent(node)
        return None if node is None else loader.construct_document(node)
    except RecursionError:
        raise ValueError("its values are nested too deep") from None
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML: {' '.join(str(error).split())}") from error


def _check_extent(node: Any) -> None:
    rest = [(node, 0)]
    num = 0
    while rest:
        each, depth = rest.pop()
        inside = each.value if isinstance(each, yaml.SequenceNode | yaml.MappingNode) else []
        num += 1
        if depth > DEEPEST or num + len(rest) + 2 * len(inside) > MOST_VALUES:
            raise ValueError(f"its values are more than {MOST_VALUES:,}, or nested more than {DEEPEST} deep")
        rest += [(one, depth + 1) for pair in inside for one in (pair if isinstance(pair, tuple) else (pair,))]
