"""Whatever stops a command, it ends in one line, with the exit status that shells expect and without a traceback."""

import argparse
import ast
import contextlib
import importlib
import io
import os
import re
import signal
import subprocess
import sys

import jsonargparse
import pytest

from tests.helpers import ROOT

COMMANDS = [
    "preprocessing.build",
    "preprocessing.inspect",
    "preprocessing.convert",
    "evglif.train",
    "evglif.evaluate",
    "evglif.report",
    "evglif.plots.__main__",
    "evglif.models.__main__",
    "evglif.__main__",
    "evglif.zoo.__main__",
    "evglif.nir.__main__",
    "deploy.export",
    "deploy.infer",
    "deploy.bench",
    "deploy.profile",
    "deploy.publish",
    "scripts.quickstart",
    "scripts.reproduce.__main__",
    "scripts.gpu.__main__",
    "scripts.zoo",
]
OUTSIDE = {"scripts/bench/peers.py"}
"""Run by a benchmark in an environment without our packages; it talks to it and not to people."""


def runnable():
    for folder in ("preprocessing", "evglif", "deploy", "scripts"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            name = str(file.relative_to(ROOT))
            if re.search(r"^if __name__ == .__main__.:", file.read_text(), re.MULTILINE) and name not in OUTSIDE:
                yield pytest.param(file, id=name)


@pytest.mark.parametrize("file", list(runnable()))
def test_what_can_be_run_is_a_command(file):
    """So that nobody forgets it; the other tests show what that means."""
    tree = ast.parse(file.read_text())
    main = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
    assert [ast.unparse(each.func) for each in main.decorator_list] == ["command"]
    assert "sys.exit(main())" in ast.unparse(tree.body[-1])


@pytest.mark.parametrize("folder", ["preprocessing", "evglif", "deploy", "scripts"])
def test_words_on_the_error_stream_are_told(folder):
    """``tell`` makes one line of them, whatever names they hold."""
    printed = {
        f"{file.name}:{node.lineno}"
        for file in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
        if any(each.arg == "file" and ast.unparse(each.value) == "sys.stderr" for each in node.keywords)
    }
    assert {place for place in printed if not place.startswith("terminal.py")} == set()


def called(command, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [command, *arguments])
    try:
        return importlib.import_module(command).main()
    except SystemExit as end:
        return end.code


class Stream(io.TextIOWrapper):
    """Standard output whose rest is dropped in the end."""

    def close(self):
        if not self.closed:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.fileno())
            os.close(nothing)
        super().close()


def gone():
    """A pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    return Stream(os.fdopen(writing, "wb"))


STREAMS = {"gone": gone, "full": lambda: Stream(os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb"))}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("output", "status"), [("gone", 141), ("full", 1), ("closed", 1), ("there", 0)])
def test_output_that_is_not_taken_ends_every_command(command, output, status, monkeypatch, capsys):
    with contextlib.closing(STREAMS[output]()) if output in STREAMS else contextlib.nullcontext() as stream:
        if output != "there":
            monkeypatch.setattr(sys, "stdout", stream)
        assert called(command, monkeypatch, "--help") == status
    told = capsys.readouterr().err
    assert told == "" if status != 1 else told.startswith("error: standard output cannot be written to (")
    assert told.count("\n") <= 1


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "evglif.__main__"])  # it starts the others
def test_ctrl_c_ends_every_command(command, monkeypatch, capsys):
    def interrupted(*_, **__):
        signal.raise_signal(signal.SIGINT)

    for parser in (argparse.ArgumentParser, jsonargparse.ArgumentParser):
        monkeypatch.setattr(parser, "parse_args", interrupted)
    assert called(command, monkeypatch) == 130
    printed = capsys.readouterr()
    assert re.fullmatch(r"interrupted: .+\n", printed.err)
    assert printed.out == ""


INSPECT = [sys.executable, "-m", "preprocessing.inspect"]


@pytest.mark.parametrize(
    ("shell", "status", "told"),
    [
        ("{} no.aedat > /dev/full", 1, r"error: standard output cannot be written to \(No space left on device\).*\n"),
        ("{} no.aedat >&-", 1, r"error: standard output cannot be written to \(it is closed\).*\n"),
        ("{} no.aedat >&- 2>&-", 1, ""),
        ("{} no.aedat --sample 1 x 2>&-", 2, ""),
        ("{} --help | true; exit ${{PIPESTATUS[0]}}", 141, ""),
    ],
)
def test_a_process_ends_so_and_python_adds_nothing(shell, status, told, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = shell.format(" ".join(INSPECT))
    done = subprocess.run(
        ["bash", "-c", line], check=False, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (status, "")
    assert re.fullmatch(told, done.stderr)


BUSY = """
import sys, time
from preprocessing.commands import command
@command("nothing was written")
def main():
    print("begun", flush=True)
    time.sleep(100)
sys.exit(main())
"""


def test_a_process_is_interrupted_while_it_works():
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "interrupted: nothing was written\n")
    assert process.returncode == 130


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe with a name")
def test_a_process_that_still_imports_ends_without_a_word(tmp_path):
    """A module of the path that is imported by ours waits here, where torch would take seconds."""
    (tmp_path / "numpy.py").write_text("open('numpy.fifo').read()")
    os.mkfifo(tmp_path / "numpy.fifo")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    process = subprocess.Popen(
        [sys.executable, "-m", "evglif.train"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    with (tmp_path / "numpy.fifo").open("wb"):
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (-signal.SIGINT, "")
