import json

import pytest

from preprocessing.plain import json_text


@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_is_unicode_everywhere(ascii_only):
    value = {"caf\udce9": ["\udcff", 1, None, {"猫": ("\x1b", 0.5)}]}
    text = json_text(value, ascii_only=ascii_only)
    read = json.loads(text.encode("ascii" if ascii_only else "utf-8"))
    assert read == {r"caf\udce9": [r"\udcff", 1, None, {"猫": ["\x1b", 0.5]}]}
    assert json.dumps(read, ensure_ascii=False).encode()


def test_json_has_no_nan():
    assert json_text({"loss": [float("nan"), float("-inf"), 0.5]}) == '{"loss": [null, null, 0.5]}'
