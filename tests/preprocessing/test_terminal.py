import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preprocessing.terminal import as_text, paragraph, shown, tell

HOSTILE = {
    "a colour": "\x1b[31mred",
    "a title, by OSC": "\x1b]0;owned\x07",
    "C1": "\x9b31m\x90",
    "a line that is begun anew": "fine\rerror",
    "a line of its own": "a.aedat\nerror: b.aedat",
    "letters turned around": "\u202egpj.exe",
    "an isolate": "\u2066a\u2069",
    "a separator of lines": "a\u2028b\x85c\x0bd",
    "nothing to be seen": "a\u200bb\ufeff\U000e0041\x00",
    "no text": "caf\udce9",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_nothing_in_a_name_changes_how_the_rest_is_shown(name):
    seen = shown(name)
    assert seen.isprintable()
    assert seen.isascii()
    assert len(paragraph(["before", name, "after"]).splitlines()) == 3
    assert as_text(seen) == seen
    assert seen.encode().decode("unicode_escape") == name


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("Löwe 猫 \u200d\u200c é ١ 🏳️‍🌈 نمی‌خواهم")
def test_what_is_to_be_seen_is_shown_as_it_is(text):
    kept = "".join(sign for sign in text if unicodedata.category(sign) not in ("Cc", "Cf", "Zl", "Zp"))
    assert shown(kept) == kept


@given(st.text(st.characters()))
def test_a_text_is_one_line_and_utf_8(text):
    assert len(shown(text).splitlines()) <= 1
    assert shown(text).encode() is not None


def test_joiners_without_which_words_fall_apart_are_kept():
    assert shown("نمی\u200cخواهم 👩\u200d💻") == "نمی\u200cخواهم 👩\u200d💻"


def test_bytes_that_are_no_text_become_codes():
    assert as_text("Löwe") == "Löwe"
    assert as_text(b"caf\xe9".decode(errors="surrogateescape")).encode() == rb"caf\udce9"


def test_what_is_told_is_one_line_of_the_error_stream(capsys):
    tell("error: a\nb\x1b[2J")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "error: a\\nb\\x1b[2J\n")
