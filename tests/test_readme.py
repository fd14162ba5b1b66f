"""What README.md shows is what the program prints."""

import re
from importlib.util import find_spec

from evglif.models.__main__ import main
from tests.helpers import ROOT

README = ROOT / "README.md"
PAPER = "c64k3s1-BN-GLIF-{SEW Block (c64)}*4-APk2s2-c128k3s1-BN-GLIF-{SEW Block (c128)-APk2s2}*3-FC10"
"""GLIF, appendix A.2."""


def test_the_layer_table_of_7b_widenet(capsys):
    assert main(["7b-widenet"]) == 0
    shown = capsys.readouterr().out.rstrip()
    assert shown.splitlines()[0] == PAPER
    assert f"```\n{shown}\n```" in README.read_text(encoding="utf-8")


def test_every_command_and_path_that_it_names_is_there():
    text = README.read_text(encoding="utf-8")
    modules = set(re.findall(r"python -m ([a-z_][\w.]*)", text)) - {"venv"}
    assert len(modules) > 10
    assert [name for name in modules if find_spec(name) is None] == []
    paths = set(re.findall(r"(?:\./)?((?:scripts|deploy|evglif|preprocessing|tests|\.github)/[\w./-]+\w)", text))
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []
