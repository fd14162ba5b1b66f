"""Pages that run what they show: commands and Python in a folder of their own, with the output that they gave."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

LONGEST_S = 600
WORK = "_work"
_LOG = logging.getLogger(__name__)
_done: dict[tuple[str, str, str], str] = {}
"""(workspace, language, code) → output: what several pages begin with is run once."""


class Run(SphinxDirective):
    """``{run} sh`` or ``{run} python``: shows the code, runs it in the page's folder, and shows what it printed.

    Options: ``in``, a folder that several pages share; ``head`` and ``tail``, so many lines of the output at most;
    ``quiet``, no output shown; ``fails``, an exit status other than 0 is what is meant.
    """

    has_content = True
    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {
        "in": directives.unchanged_required,
        "head": directives.nonnegative_int,
        "tail": directives.nonnegative_int,
        "quiet": directives.flag,
        "fails": directives.flag,
    }

    def run(self) -> list[nodes.Node]:
        language, code = self.arguments[0], "\n".join(self.content)
        shown: list[nodes.Node] = [_block(code, language)]
        if self.config.evglif_run:
            place = self.options.get("in", self.env.docname.replace("/", "-"))
            folder = Path(self.env.srcdir) / WORK / place
            try:
                output = _output(folder, language, code, "fails" in self.options)
            except RuntimeError as error:
                raise self.error(str(error)) from error
            if output and "quiet" not in self.options:
                shown.append(_block(_shortened(output, self.options), "text", "output"))
        return shown


class Made(SphinxDirective):
    """``{made} runs/digits/curves.png``: a picture that the page's commands made; the content is its description."""

    has_content = True
    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"in": directives.unchanged_required, "width": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        if not self.config.evglif_run:
            return []
        place = self.options.get("in", self.env.docname.replace("/", "-"))
        path = Path(WORK) / place / self.arguments[0]
        if not (Path(self.env.srcdir) / path).is_file():
            raise self.error(f"the commands before this made no {self.arguments[0]}")
        text = " ".join(self.content)
        image = nodes.image(uri=f"/{path.as_posix()}", alt=text, width=self.options.get("width", "100%"))
        return [nodes.figure("", image, nodes.caption(text, text))]


class Help(SphinxDirective):
    """``{help} train``: what ``evglif train --help`` prints."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        line = ["evglif", self.arguments[0], "--help"]
        done = subprocess.run(line, capture_output=True, text=True, env=_environment(), check=False)
        if done.returncode:
            raise self.error(f"{' '.join(line)} ended with {done.returncode}: {done.stderr[-500:]}")
        return [_block(done.stdout.rstrip(), "text")]


def _block(text: str, language: str, kind: str = "") -> nodes.literal_block:
    block = nodes.literal_block(text, text, language={"sh": "console"}.get(language, language) if kind else language)
    if kind:
        block["classes"].append(kind)
    return block


def _output(folder: Path, language: str, code: str, may_fail: bool) -> str:
    """What the code prints, run once in a folder.

    Raises:
        RuntimeError: it ended otherwise than it should.
    """
    key = str(folder), language, code
    if key in _done:
        return _done[key]
    folder.mkdir(parents=True, exist_ok=True)
    line = ["bash", "-euo", "pipefail", "-c", code] if language == "sh" else [sys.executable, "-c", code]
    started = time.monotonic()
    done = subprocess.run(
        line,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env=_environment(),
        timeout=LONGEST_S,
        check=False,
    )
    _LOG.info("ran %s in %.0f s", " ".join(code.split())[:70], time.monotonic() - started)
    if (done.returncode != 0) != may_fail:
        raise RuntimeError(f"ended with {done.returncode}:\n{code}\n{done.stdout[-3000:]}")
    _done[key] = _plain(done.stdout, folder)
    return _done[key]


def _environment() -> dict[str, str]:
    """Commands as a reader has them, in an activated environment, 100 columns wide."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "COLUMNS": "100", "PYTHONUTF8": "1", "NO_COLOR": "1"}


def _plain(text: str, folder: Path) -> str:
    """Of bars only what stays on the screen; paths from the folder on."""
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", "\n".join(lines)).replace(f"{folder}/", "").strip("\n")


def _shortened(text: str, options: dict[str, Any]) -> str:
    lines = text.split("\n")
    head, tail = options.get("head"), options.get("tail")
    if head is None and tail is None:
        return text
    head, tail = head or 0, tail or 0
    return text if len(lines) <= head + tail else "\n".join([*lines[:head], "…", *lines[len(lines) - tail :]])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_config_value("evglif_run", True, "env", bool)
    app.add_directive("run", Run)
    app.add_directive("made", Made)
    app.add_directive("help", Help)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
