"""Build the site: ``python -m scripts.docs``, then open ``build/site/index.html``; no server, no network.

Tutorials run the commands that they show, each page in a folder of its own, and hold what these printed; a command
that fails ends the build. ``--quick`` leaves that out.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from preprocessing.commands import command
from scripts.docs.links import broken
from scripts.docs.notebooks import write_notebook

HERE = Path(__file__).parent
NOTEBOOKS = ("tutorials/own-recordings", "tutorials/new-neuron")
"""Pages that are notebooks, too."""


@command("the site is half-built; the same command builds it anew")
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/site"), help="folder of the site; default: build/site")
    parser.add_argument("--quick", action="store_true", help="don't run what the tutorials show")
    options = parser.parse_args(arguments)
    build(options.out, run=not options.quick)
    print(f"open {options.out / 'index.html'}")
    return 0


def build(out: Path, run: bool) -> None:
    """Build the site into a folder, whatever it held before.

    Raises:
        ValueError: a page, a docstring or a link is wrong, or a command of a tutorial failed.
    """
    if find_spec("sphinx") is None:
        raise ImportError("the site needs Sphinx: pip install 'evglif[docs]'")
    source = out.parent / f"{out.name}-source"
    for folder in (out, source):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(HERE / "pages", source)
    options = ["-W", "--keep-going", "--no-color", "-c", str(HERE), "-D", f"evglif_run={int(run)}"]
    folders = ["-d", str(source / "_doctrees"), str(source), str(out)]
    if subprocess.run([sys.executable, "-m", "sphinx", *options, *folders], check=False).returncode:
        raise ValueError(f"the site was not built, see above; the pages as they were built are in {source}")
    for page in NOTEBOOKS:
        write_notebook(HERE / "pages" / f"{page}.md", out / "notebooks" / f"{Path(page).name}.ipynb")
    if wrong := broken(out):
        raise ValueError(f"{len(wrong)} links are wrong: {'; '.join(wrong[:10])}")
    shutil.rmtree(source)


if __name__ == "__main__":
    sys.exit(main())
