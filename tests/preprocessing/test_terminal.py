import io
import sys

import pytest

from preprocessing.terminal import as_text, take_any_text


def printed(monkeypatch, encoding, text):
    """What a stream of this encoding gets, once it takes any text."""
    kept = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(kept, encoding=encoding))
    take_any_text()
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


def test_a_stream_without_an_encoding_is_left_alone(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    take_any_text()
    print("猫")
    assert stream.getvalue() == "猫\n"


def test_bytes_that_are_no_text_become_codes():
    assert as_text("Löwe") == "Löwe"
    assert as_text(b"caf\xe9".decode(errors="surrogateescape")).encode() == rb"caf\udce9"
