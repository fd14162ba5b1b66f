import io
import sys

import pytest

from preprocessing.outlet import OutputError, any_text, for_bars


def printed(monkeypatch, encoding, text):
    """What a stream of this encoding gets, once it takes any text."""
    kept = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(kept, encoding=encoding))
    with any_text():
        print(text, end="", flush=True)
    return kept.getvalue()


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "16 × 2 → Löwe 猫 \\udce9 µs".encode()),
        ("cp1252", "16 × 2 -> Löwe \\u732b \\udce9 µs".encode("cp1252")),
        ("ascii", rb"16 x 2 -> L\xf6we \u732b \udce9 us"),
    ],
)
def test_every_encoding_takes_every_text_and_shows_what_it_has(monkeypatch, encoding, expected):
    assert printed(monkeypatch, encoding, "16 × 2 → Löwe 猫 \udce9 µs") == expected


def test_names_that_look_alike_stay_apart(monkeypatch):
    assert printed(monkeypatch, "ascii", "猫") != printed(monkeypatch, "ascii", "犬")


def test_a_stream_without_an_encoding_takes_them_too(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with any_text():
        print("猫")
    assert sys.stdout is stream
    assert stream.getvalue() == "猫\n"


def test_nothing_that_moves_the_cursor_passes_whoever_prints_it(capsys):
    with any_text():
        print("a\x1b[2Jb\rc\x9b\u202ed\x07\n\te")
        print("\x1b]0;owned", file=sys.stderr)
    seen = capsys.readouterr()
    assert seen.out == "a\\x1b[2Jb\\rc\\x9b\\u202ed\\x07\n\te\n"
    assert seen.err == "\\x1b]0;owned\n"


def test_a_bar_begins_its_line_anew_and_no_more(capsys):
    with any_text():
        for_bars(sys.stderr).write("\r50 %\x1b[A\x07")
        assert for_bars(sys.stderr).isatty() is sys.stderr.isatty()
    assert capsys.readouterr().err == "\r50 %\x1b[A\\x07"


def test_a_fault_of_ours_leaves_them_so_for_what_python_says_of_it(monkeypatch):
    before = sys.stderr
    monkeypatch.setattr(sys, "stderr", before)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    with pytest.raises(ZeroDivisionError), any_text():
        raise ZeroDivisionError
    assert sys.stderr is not before


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_command_gives_them_back(stop):
    before = sys.stdout, sys.stderr
    with pytest.raises(stop), any_text():
        raise stop
    assert (sys.stdout, sys.stderr) == before


class Full(io.StringIO):
    def write(self, _text):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("stream", [Full(), None], ids=["full", "closed"])
def test_output_that_is_lost_ends_it_and_words_on_the_error_stream_do_not(monkeypatch, stream, capsys):
    monkeypatch.setattr(sys, "stderr", stream)
    with any_text():
        print("lost", file=sys.stderr)
        print("kept")
    assert capsys.readouterr().out == "kept\n"
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(OutputError, match=r"No space left|closed") as lost, any_text():
        print("result")
    assert not isinstance(lost.value, Exception)  # many places take any of those for an error of something else
