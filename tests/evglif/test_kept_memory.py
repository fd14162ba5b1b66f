"""Memory that is freed within a training stays with the process, and is given back at its end."""

import os
import platform
import resource
from pathlib import Path

import pytest
import torch

from evglif.kept_memory import kept_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings are those of glibc")

BYTES = 96 << 20
SLACK = 16 << 20


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]:
        monkeypatch.delenv(name)


def resident():
    """Bytes that the process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def use_and_free():
    torch.ones(BYTES, dtype=torch.uint8)


def test_what_is_freed_stays_until_the_end():
    before = resident()
    with kept_memory():
        use_and_free()
        assert resident() > before + BYTES - SLACK
        use_and_free()  # the same memory again
        assert resident() < before + BYTES + SLACK
    assert resident() < before + SLACK
    use_and_free()
    assert resident() < before + SLACK


def test_it_is_given_back_after_an_error():
    before = resident()
    with pytest.raises(FloatingPointError), kept_memory():
        use_and_free()
        raise FloatingPointError
    assert resident() < before + SLACK


@pytest.mark.parametrize("name", ["MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"])
def test_settings_of_the_environment_are_left_alone(name, monkeypatch):
    monkeypatch.setenv(name, "")
    before = resident()
    with kept_memory():
        use_and_free()
        assert resident() < before + SLACK
