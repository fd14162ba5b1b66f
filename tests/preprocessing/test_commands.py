"""How commands end, one table for all of them; what really happens to a process is in tests/test_endings.py."""

import signal
import subprocess
import sys

import pytest

from preprocessing.commands import command
from preprocessing.files import BusyError
from preprocessing.starting import is_command
from preprocessing.workers import WorkerDiedError
from tests.helpers import ROOT


def ended(error, capsys):
    @command("nothing was written")
    def main():
        raise error

    status = main()
    printed = capsys.readouterr()
    assert printed.out == ""
    return status, printed.err


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (ValueError("a.h5: wrong"), 1, "error: a.h5: wrong\n"),
        (ValueError("a\nerror: b\x1b[2J"), 1, "error: a\\nerror: b\\x1b[2J\n"),
        (FileNotFoundError(2, "No such file", "a\nb"), 1, "error: [Errno 2] No such file: 'a\\nb'\n"),
        (BusyError("another process"), 1, "error: another process\n"),
        (WorkerDiedError("a worker"), 1, "error: a worker\n"),
        (FloatingPointError("NaN"), 1, "error: NaN\n"),
        (ImportError("no nir"), 1, "error: no nir\n"),
        (MemoryError("5 GB"), 1, "error: memory is full (5 GB): end other programs, or do less at once\n"),
        (KeyboardInterrupt(), 130, "interrupted: nothing was written\n"),
        (KeyboardInterrupt("7 are kept"), 130, "interrupted: 7 are kept\n"),
    ],
)
def test_what_stops_a_command_is_one_line_and_an_exit_status(error, status, told, capsys):
    assert ended(error, capsys) == (status, told)


def test_a_fault_of_ours_is_not_hidden(monkeypatch):
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    with pytest.raises(KeyError):
        ended(KeyError("name"), None)


@pytest.mark.parametrize(("given", "status"), [(None, 0), (0, 0), (1, 1)])
def test_it_ends_as_it_says(given, status):
    assert command("")(lambda: given)() == status


@pytest.mark.parametrize(
    ("words", "name", "expected"),
    [
        (["python", "-u", "-m", "evglif.train", "--data"], "-m", True),
        (["python", "-m", "scripts.bench.export"], "-m", True),
        (["python", "-m", "deploy"], "-m", True),
        (["/usr/bin/python", "/venv/bin/evglif-train"], "/venv/bin/evglif-train", True),
        (["python", "-m", "pytest", "-m", "evglif"], "-m", False),
        (["python", "-m", "pytest", "tests"], "/lib/pytest/__main__.py", False),
        (["python", "-m", "evglifs"], "-m", False),
        (["python", "mine.py", "-m", "evglif"], "mine.py", False),
        (["python"], "", False),
        (["python", "-c", "import evglif"], "-c", False),
    ],
)
def test_it_is_told_whether_a_process_is_a_command_of_ours(words, name, expected):
    assert is_command(words, name) is expected


def test_importing_changes_ctrl_c_for_nobody_else():
    job = "import signal, preprocessing, evglif, deploy; print(signal.getsignal(signal.SIGINT).__name__)"
    done = subprocess.run([sys.executable, "-c", job], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "default_int_handler\n"


def test_a_command_heeds_ctrl_c_as_soon_as_it_begins(capsys):
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:

        @command("nothing was written")
        def main():
            signal.raise_signal(signal.SIGINT)

        assert main() == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "interrupted: nothing was written\n"
