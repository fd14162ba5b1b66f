"""A user's own code in our commands: ``--import my_neuron.py`` runs a file, which registers what it holds.

Nothing is run that was not asked for by name. What is registered knows which file it is from, and what that held.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from argparse import SUPPRESS, ArgumentParser
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

_IMPORTED: list[str] = []


@dataclass(frozen=True)
class CodeOrigin:
    """Where something registered is from.

    Attributes:
        path: of the file; empty for what was typed, as in a notebook.
        sha256: of what the file held, in hexadecimal; empty likewise.
    """

    path: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.path} (SHA-256 {self.sha256[:12]}…)" if self.path else "code that lay in no file"


def origin_of(thing: Any) -> CodeOrigin:
    """Where a class, function or module is from, as the file is now."""
    try:
        path = Path(inspect.getsourcefile(thing) or "")
        return CodeOrigin(str(path.resolve()), sha256(path.read_bytes()).hexdigest())
    except (TypeError, OSError):
        return CodeOrigin("", "")


def imported() -> tuple[str, ...]:
    """What ``run_code`` has run in this process, for processes that are to know the same."""
    return tuple(_IMPORTED)


def run_code(name: str) -> ModuleType:
    """Run a user's code, once in a process.

    Args:
        name: a file, ``my_neuron.py``, or a module that Python finds, ``package.module``.

    Raises:
        FileNotFoundError: there is neither.
        ValueError: the code raises; its line is named.
    """
    path = Path(name)
    known = str(path.resolve()) if path.suffix == ".py" else name
    if known in _IMPORTED:
        return sys.modules[_module_name(known)]
    if path.suffix != ".py" and path.exists():
        raise ValueError(
            f"--import {name} is no Python file; give one that ends in .py, or a module such as pkg.module"
        )
    code, _, thing = name.rpartition(":")
    if code and thing.isidentifier() and path.suffix != ".py":
        raise ValueError(f"--import {name}: type --import {code}; what it holds, {thing} too, is registered by itself")
    if path.suffix == ".py" and not path.is_file():
        raise FileNotFoundError(f"--import {name}: there is no such file in {Path.cwd()}")
    try:
        module = _run_file(Path(known)) if path.suffix == ".py" else _run_module(name)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{name}.".startswith(f"{missing}."):
            raise FileNotFoundError(
                f"--import {name}: Python finds no module {missing}, neither installed nor in {Path.cwd()}; the name "
                "of a file ends in .py"
            ) from error
        raise ValueError(f"--import {name}: {_where(error, known)}{type(error).__name__}: {error}") from error
    _IMPORTED.append(known)
    return module


def _module_name(known: str) -> str:
    return f"own_{sha256(known.encode()).hexdigest()[:12]}_{Path(known).stem}" if known.endswith(".py") else known


def _run_file(path: Path) -> ModuleType:
    name = _module_name(str(path))
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    sys.path.insert(0, str(path.parent))  # the file may use its neighbours, as when Python runs it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(path.parent))
    return module


def _run_module(name: str) -> ModuleType:
    sys.path.append(str(Path.cwd()))  # last, so that no folder of the user's stands in for a library
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(Path.cwd()))


def _where(error: Exception, known: str) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == known]
    return f"line {lines[-1]}: " if lines else ""


def add_import(parser: ArgumentParser, what: str) -> None:
    """Add the option; ``preprocessing.options`` runs what it names before it looks at the others.

    Args:
        parser: of the command.
        what: that can be registered for it, e.g. "a neuron or network".
    """
    parser.add_argument(
        "--import",
        action="append",
        dest="imports",
        default=SUPPRESS,
        metavar="FILE.py",
        help=f"run this code of your own, which registers {what}; a file, or a module as package.module",
    )
