"""One recording never ends a build: whatever it is, it is left out, named and counted, and the rest is built."""

import os
import signal
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from preprocessing.build import build, main
from preprocessing.cache import FrameCache
from preprocessing.datasets import NMNIST, Folder, Pictures
from preprocessing.datasets.base import Dataset, Listing, Source
from preprocessing.events import RecordingError, make_events
from preprocessing.readers import aedat2, atis
from preprocessing.workers import DEADLY

SMALL = {"steps": 4, "size": (12, 8)}
LATE_US = 1_700_000_000_000_000


def events(seed, number=200):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 34, (2, number))
    return make_events(np.linspace(0, 2500, number).astype(int), x, y, rng.random(number) < 0.5)


@pytest.fixture
def root(tmp_path):
    for i in range(6):
        path = tmp_path / "recordings" / "ab"[i % 2] / f"{i}.aedat"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(aedat2.encode(events(i)))
    return tmp_path / "recordings"


def huge(path):
    header = b"Event Stream" + bytes([2, 0, 0, 1]) + struct.pack("<HH", 65535, 65535)
    path.with_suffix(".es").write_bytes(header + bytes([3]) + struct.pack("<HH", 3, 4))


def of_another_time(path):
    late = events(7)
    late["t"] = np.arange(200) * 5_999_000_000  # silences that are no jumps of a clock
    late["t"][0] = -LATE_US
    np.save(path.with_suffix(".npy"), late)


def unpacks(path):
    with zipfile.ZipFile(path.with_suffix(".npz"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "txyp":
            archive.writestr(f"{name}.npy", bytes(100_000_000))


LEFT_OUT = {"65535×65535 sensor; frames": huge, "would take 100 MB": unpacks}


@pytest.mark.parametrize("reason", LEFT_OUT)
@pytest.mark.parametrize("options", [{}, {"filters": ("noise:10ms",)}], ids=["as it is", "filtered"])
def test_it_is_left_out_and_named(root, tmp_path, reason, options):
    LEFT_OUT[reason](root / "a" / "bad")
    build(Folder(root), tmp_path / "out.h5", workers=1, **SMALL, **options)
    cache = FrameCache(tmp_path / "out.h5")
    assert len(cache) == 6
    ((name, why),) = cache.left_out
    assert name.startswith("a/bad")
    assert reason in why
    with pytest.raises(RecordingError, match=r"a/bad.* \(strict\)"):
        build(Folder(root), tmp_path / "out.h5", workers=1, strict=True, **SMALL, **options)


def test_windows_over_silences_of_weeks_take_neither_memory_nor_time(root, tmp_path):
    """Their empty windows would be 4 · 10⁸, one in a hundred a line."""
    of_another_time(root / "a" / "late")
    dataset = Folder(root, window="1ms", hop="3us", sensor="128x128")
    build(dataset, tmp_path / "out.h5", workers=1, **SMALL)
    cache = FrameCache(tmp_path / "out.h5")
    assert sum(name.startswith("a/late") for name, _ in cache.left_out) <= 1
    assert len(cache) == 6 * 501


def test_more_windows_than_memory_are_refused(root, tmp_path, monkeypatch):
    monkeypatch.setattr("preprocessing.limits.FRAMES", 1 << 18)
    monkeypatch.setattr("preprocessing.limits.FLOOR", 1 << 18)
    with pytest.raises(ValueError, match=r"none of 6 recordings can be used: .*has more than 2\d\d windows of 2000 µs"):
        build(Folder(root, window="2ms", hop="1us"), tmp_path / "out.h5", workers=1, **SMALL)


def test_steps_that_no_memory_holds(root, tmp_path, capsys):
    arguments = ["folder", "--root", str(root), "--out", str(tmp_path / "out.h5"), "--steps", "100000000"]
    assert main(arguments) == 1
    assert "frames of 100000000 × 2 × 48 × 48: a sample would take 3.69 TB" in capsys.readouterr().err


@pytest.mark.parametrize("window", [None, "1ms"])
def test_names_that_are_no_utf_8(root, tmp_path, window):
    folder = os.fsencode(root) + b"/caf\xe9"
    Path(os.fsdecode(folder)).mkdir()
    for name, content in ((b"r\xe9", aedat2.encode(events(9))), (b"empty\xe9", b"")):
        Path(os.fsdecode(folder + b"/" + name + b".aedat")).write_bytes(content)
    build(Folder(root, window=window), tmp_path / "out.h5", workers=1, **SMALL)
    cache = FrameCache(tmp_path / "out.h5")
    assert "caf\\udce9/r\\udce9.aedat" in {source.partition("@")[0] for source in cache.sources}
    assert ("caf\\udce9/empty\\udce9.aedat", "the file is empty (0 bytes)") in cache.left_out


@dataclass(frozen=True)
class Failing(Source):
    """A recording that does something else than to be read."""

    how: str = field(kw_only=True)

    def read(self):
        if self.how == "memory":
            raise MemoryError("Unable to allocate 3 TiB")
        if self.how == "mistake":
            raise TypeError("unsupported operand")
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class WithFailing(Dataset):
    """Recordings and one that fails."""

    name: ClassVar[str] = "failing"
    example: ClassVar[str] = ""
    how: str = "memory"

    def listing(self):
        paths = sorted(self.root.rglob("*.aedat"))
        sources = [Source(path, None, 0, "train", path.name) for path in paths]
        sources.insert(2, Failing(paths[0], None, 0, "train", "failing", how=self.how))
        return Listing(("a",), tuple(sources))


@pytest.mark.parametrize(
    ("how", "workers", "reason"),
    [
        ("memory", 1, "there is not enough memory for it (Unable to allocate 3 TiB)"),
        ("memory", 2, "there is not enough memory for it (Unable to allocate 3 TiB)"),
        ("mistake", 1, "please report it (TypeError: unsupported operand)"),
        ("killed", 2, DEADLY),
    ],
)
def test_whatever_becomes_of_its_worker(root, tmp_path, how, workers, reason):
    build(WithFailing(root, how=how), tmp_path / "out.h5", workers=workers, **SMALL)
    cache = FrameCache(tmp_path / "out.h5")
    assert len(cache) == 6
    ((name, why),) = cache.left_out
    assert name == "failing"
    assert reason in why


def test_a_picture_that_unpacks_to_a_thousand_times_its_size(tmp_path):
    for i in range(3):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 20), i).save(path)
    Image.new("L", (9000, 9000)).save(tmp_path / "photos" / "a" / "white.png")
    build(Pictures(tmp_path / "photos", size=(16, 16)), tmp_path / "out.h5", workers=1)
    cache = FrameCache(tmp_path / "out.h5")
    assert len(cache) == 3
    ((name, why),) = cache.left_out
    assert (name, "9000×9000 px, which would take 81 MB" in why) == ("a/white.png", True)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_members_that_are_there_twice_or_lead_outside(tmp_path):
    with zipfile.ZipFile(tmp_path / "Train.zip", "w") as archive:
        for name, seed in (("0/1.bin", 1), ("0/2.bin", 2), ("0/1.bin", 3), ("../0/4.bin", 4), ("/0/5.bin", 5)):
            archive.writestr(f"Train/{name}" if name[0] == "0" else name, atis.encode(events(seed)))
    with zipfile.ZipFile(tmp_path / "Test.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Test/0/6.bin", atis.encode(events(6)))
        archive.writestr("Test/0/7.bin", bytes(100_000_000))
    build(NMNIST(tmp_path), tmp_path / "out.h5", workers=1, **SMALL)
    cache = FrameCache(tmp_path / "out.h5")
    assert cache.sources == ("Train.zip/Train/0/1.bin", "Train.zip/Train/0/2.bin", "Test.zip/Test/0/6.bin")
    left_out = dict(cache.left_out)
    assert left_out.pop("Test.zip/Test/0/7.bin").startswith("would take 100 MB, and is 97")
    assert left_out == {
        "Train.zip/Train/0/1.bin": "is in the archive 2 times; the last one is used, and 1 left out",
        "Train.zip/../0/4.bin": "leads out of the archive",
        "Train.zip//0/5.bin": "leads out of the archive",
    }
