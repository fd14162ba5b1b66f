"""Pages as notebooks: their text, and what they run as cells."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_BLOCK = re.compile(r"^```\{(?P<kind>\w+)\}[ ]*(?P<argument>[^\n]*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
_OPTION = re.compile(r"^:[\w-]+:.*\n", re.MULTILINE)


def notebook_of(page: str) -> dict[str, Any]:
    """A page of the site as a notebook (nbformat 4.5), without output.

    Args:
        page: Markdown with ``{run}`` blocks; what they made stands in the cell's own output there.
    """
    cells: list[dict[str, Any]] = []
    end = 0
    for block in _BLOCK.finditer(page):
        _add_text(cells, page[end : block.start()])
        end = block.end()
        if block["kind"] == "run":
            _add_code(cells, block["argument"].strip(), _OPTION.sub("", block["body"]).strip("\n"))
        elif block["kind"] == "made":
            _add_code(cells, "python", f'from IPython.display import Image\n\nImage("{block["argument"].strip()}")')
    _add_text(cells, page[end:])
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}


def _add_text(cells: list[dict[str, Any]], text: str) -> None:
    if text.strip():
        cells.append({"id": f"cell-{len(cells)}", "cell_type": "markdown", "metadata": {}, "source": text.strip()})


def _add_code(cells: list[dict[str, Any]], language: str, code: str) -> None:
    source = code if language == "python" else f"%%bash\n{code}"
    blank: dict[str, Any] = {"metadata": {}, "execution_count": None, "outputs": []}
    cells.append({"id": f"cell-{len(cells)}", "cell_type": "code", **blank, "source": source})


def write_notebook(page: Path, out: Path) -> None:
    """Write a page as a notebook beside the site."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(notebook_of(page.read_text(encoding="utf-8")), indent=1, ensure_ascii=False) + "\n")
