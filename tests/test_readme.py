"""What README.md shows is what the program takes and prints."""

import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

from deploy.exporting.options import NIR_READERS
from evglif.models.__main__ import main
from preprocessing.calling import MODULES
from tests.helpers import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ROOT / "scripts" / "docs" / "pages"
PAPER = "c64k3s1-BN-GLIF-{SEW Block (c64)}*4-APk2s2-c128k3s1-BN-GLIF-{SEW Block (c128)-APk2s2}*3-FC10"
"""GLIF, appendix A.2."""

BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines() if line]


def test_the_layer_table_of_7b_widenet(capsys):
    assert main(["7b-widenet"]) == 0
    shown = capsys.readouterr().out.rstrip()
    assert shown.splitlines()[0] == PAPER
    assert f"```\n{shown}\n```" in (PAGES / "reference" / "networks.md").read_text(encoding="utf-8")


def test_every_command_and_path_that_it_names_is_there():
    modules = set(re.findall(r"python -m ([a-z_][\w.]*)", TEXT)) - {"venv"}
    assert modules
    assert [name for name in modules if find_spec(name) is None] == []
    paths = set(re.findall(r"(?:\./)?((?:scripts|deploy|evglif|preprocessing|tests|\.github)/[\w./-]+\w)", TEXT))
    assert len(paths) > 8
    assert [path for path in paths if not (ROOT / path).exists()] == []


def words_of(line):
    """The arguments of ``evglif`` in a line, without what stands before a pipe."""
    call = line.rpartition("| ")[2].partition("  #")[0]
    return shlex.split(call)[1:]


@pytest.mark.parametrize("line", [line for line in LINES if "evglif " in line])
def test_options_are_those_of_the_command(line):
    name, *words = words_of(line)
    import_module(MODULES[name])._parser().parse_args(words)  # what it doesn't know ends the process


PATHS = (1, 2, 3)
"""The blocks of the three paths, after that of the two commands."""


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", PATHS)
def test_the_paths_run_as_they_are_printed(number, tmp_path):
    """Whole, but for what would be downloaded."""
    lines = [line for line in BLOCKS[number].splitlines() if "--download" not in line and "cifar10dvs" not in line]
    before = ["evglif build digits --root recordings --out data/digits.h5 --steps 4 --size 16 --resize area"]
    before += ["mkdir -p data", "cp -r recordings data/digits"]
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("results"))
    script = "\n".join(["set -eo pipefail", *before, *lines])
    program = f'evglif() {{ "{sys.executable}" -m evglif "$@"; }}; python() {{ "{sys.executable}" "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-c", program + script], cwd=tmp_path, capture_output=True, text=True, timeout=3000, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_the_table_of_simulators_names_those_that_exports_are_written_for():
    text = (PAGES / "reference" / "nir.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \(", text, re.MULTILINE) == list(NIR_READERS)
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for name, version in re.findall(r"^\| `(\w+)` \((\d+\.\d+)\)", text, re.MULTILINE):
        assert f"\n{name}=={version}." in pinned, name
