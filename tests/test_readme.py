"""What README.md shows is what the program prints."""

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
