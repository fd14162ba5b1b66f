"""Recordings to frames: this package against SpikingJelly, tonic and NumPy, on the same files in the same run.

1. AEDAT-2.0 file → [16, 2, 48, 48] frames, on one core, the files in the page cache. Ours checks every record
   (address, time, whole records), the others check nothing. First the frames are compared. Then all take turns, and
   medians are printed with their ratios, beside the time that reading the bytes alone takes.
2. Ten archives shaped as those of CIFAR10-DVS → a data set ready to train on, on all cores: ours against
   SpikingJelly's own steps (unpack, convert, integrate). Frames are compared, then each runs once, alone.

The peers are installed into an environment of their own (some gigabytes, once). Recordings are simulated from pictures
that scikit-learn brings, or those that are named.

Example:
    .venv/bin/python -m scripts.bench.preprocess --recordings 200
    .venv/bin/python -m scripts.bench.preprocess ../shared/data/dvs128_objects/session1/*.aedat --recordings 0
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing import FrameCache
from preprocessing.commands import command
from preprocessing.datasets.recordings.cifar10dvs import CLASSES
from preprocessing.datasets.simulated.camera import simulate_dvs
from preprocessing.frames.rasterize import Rasterizer
from preprocessing.readers import aedat2
from preprocessing.readers.raw import open_raw
from preprocessing.terminal import tell
from preprocessing.workers import num_cores, run_tasks
from scripts.bench.common import in_turns, machine, parser, timed

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE / ".peers"
PACKAGES = ["torch==2.13.0", "numpy", "h5py", "scipy", "tqdm", "loguru", "packaging", "requests", "matplotlib"]
PACKAGES += ["typing-extensions", "importRosbag", "expelliarmus"]
PEERS = ["spikingjelly==2.0.0", "tonic==1.7.0"]
STRIDE = 2  # of a photograph's pixels in a picture of 32×32: about as many events as CIFAR-10's
RASTERIZER = Rasterizer((128, 128), transpose=True)  # SpikingJelly's orientation


@command("no figures were kept")
def main() -> None:
    parsing = parser(__doc__, repeats=15)
    parsing.add_argument("files", nargs="*", type=Path, help="AEDAT-2.0 files of a DVS128; default: ten simulated ones")
    parsing.add_argument("--recordings", type=int, default=200, help="in the ten archives; 0 leaves that part out")
    parsing.add_argument("--environment", type=Path, default=ENVIRONMENT, help="folder of the peers' environment")
    options = parsing.parse_args()
    with tempfile.TemporaryDirectory() as folder, peers(options.environment) as ask:
        files = options.files or simulated(Path(folder), 10)
        compare_frames(files, ask, Path(folder))
        time_frames(files, ask, options.repeats)
        if options.recordings:
            archives = make_archives(Path(folder) / "archives", options.recordings)
            time_archives(archives, ask, Path(folder))
    print(f"{machine('numpy', 'numba')}, {', '.join(PEERS)}")


def compare_frames(files: list[Path], ask: Callable[..., dict[str, Any]], folder: Path) -> None:
    mine = HandWritten()
    for path in files:
        ours = frames_of(path)
        np.testing.assert_allclose(ours, mine.frames(path), rtol=1e-6, atol=0)
        for peer in ("SpikingJelly", "tonic"):
            ask(job="save", peer=peer, file=str(path), out=str(folder / "frames.npy"))
            theirs = np.load(folder / "frames.npy")
            if (
                peer == "tonic"
            ):  # leaves axes and polarity as they are in the file, and the rest behind N // 16 · 16 out
                theirs, ours = theirs[:-1, ::-1, ::-1, ::-1], ours[:-1]
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)  # torch interpolates in float32
    print(f"frames of {len(files)} files agree with SpikingJelly, tonic and NumPy")


def time_frames(files: list[Path], ask: Callable[..., dict[str, Any]], repeats: int) -> None:
    mine, names = HandWritten(), [str(path) for path in files]
    num_events = sum(len(opened(path)) for path in files)
    jobs: dict[str, Callable[[], float]] = {
        "ours": lambda: timed(lambda: for_each(frames_of, files)),
        "NumPy look-up + bincount": lambda: timed(lambda: for_each(mine.frames, files)),
        "SpikingJelly": lambda: ask(job="frames", peer="SpikingJelly", files=names)["seconds"],
        "tonic": lambda: ask(job="frames", peer="tonic", files=names)["seconds"],
        "reading the bytes": lambda: timed(lambda: for_each(Path.read_bytes, files)),
    }
    seconds = in_turns(jobs, repeats)
    print(f"AEDAT-2.0 → 16×2×48×48, one core, {num_events:,} events, median of {repeats}:")
    for name, each in seconds.items():
        print(f"  {name:26s}{num_events / each / 1e6:8.1f} M events/s   ours is {each / seconds['ours']:6.2f} ×")


def for_each(function: Callable[[Path], object], files: list[Path]) -> None:
    """Nothing is kept, as in a build: fresh memory for every result would cost more than the result."""
    for path in files:
        function(path)


def opened(path: Path) -> Any:
    raw = open_raw(path.read_bytes(), str(path))
    assert raw is not None, f"{path} is no plain recording of a DVS128"
    return raw.events


def frames_of(path: Path) -> NDArray[np.float32]:
    return RASTERIZER.frames(opened(path))


class HandWritten:
    """What one writes by hand: one table from the 15 bits of an address to bin and weight, then bincount."""

    def __init__(self) -> None:
        address = np.arange(1 << 15)
        y, x = 127 - (address >> 1 & 127), 127 - (address >> 8 & 127)
        across, down = RASTERIZER._axes
        self.bins = (down.bins[0][y] + 48 * (address & 1 == 0)) * 48 + across.bins[0][x]
        self.weights = down.weights[0][y] * across.weights[0][x]

    def frames(self, path: Path) -> NDArray[np.float32]:
        records = np.fromfile(path, ">u4", offset=header_bytes(path)).reshape(-1, 2)
        address = records[:, 0].astype(np.uint16)
        bins, weights = self.bins[address], self.weights[address]
        frames = np.empty((16, 2 * 48 * 48), np.float32)
        for j in range(16):
            start = j * (len(bins) // 16)
            stop = len(bins) if j == 15 else start + len(bins) // 16
            frames[j] = np.bincount(bins[start:stop], weights[start:stop], 2 * 48 * 48)
        return frames.reshape(16, 2, 48, 48)


def header_bytes(path: Path) -> int:
    with path.open("rb") as file:
        start = 0
        while file.readline().startswith(b"#"):
            start = file.tell()
    return start


def time_archives(archives: Path, ask: Callable[..., dict[str, Any]], folder: Path) -> None:
    size = sum(path.stat().st_size for path in archives.iterdir())
    out = folder / "ours" / "frames.h5"
    command = [sys.executable, "-m", "preprocessing.build", "cifar10dvs", "--root", str(archives), "--out", str(out)]
    subprocess.run([*command, "--limit", "20"], check=True, capture_output=True)  # compiles what isn't yet
    out.unlink()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process, watched(process.pid) as peak:
        seconds = timed(process.wait)
    assert process.returncode == 0
    ours = {"seconds": seconds, "peak_bytes": peak[0]}
    theirs = ask(job="archives", archives=str(archives), folder=str(folder / "theirs"))
    compare_archives(out, folder / "theirs")
    with FrameCache(out) as cache:
        num_events, num_samples = int(cache.num_events.sum()), len(cache)
    print(
        f"ten archives of {size / 1e6:.0f} MB, {num_samples} recordings, {num_events:,} events → data set, all cores:"
    )
    for name, result, place in (("ours", ours, out.parent), ("SpikingJelly", theirs, folder / "theirs")):
        disk = sum(path.stat().st_blocks * 512 for path in place.rglob("*") if path.is_file())
        print(
            f"  {name:14s}{result['seconds']:8.1f} s   peak memory {result['peak_bytes'] / 1e6:6.0f} MB   "
            f"disk {disk / 1e6:7.0f} MB   ours is {result['seconds'] / seconds:5.1f} ×"
        )


def compare_archives(out: Path, theirs: Path) -> None:
    made = {path.stem: path for path in theirs.rglob("frames*/*/*.npz")}
    with FrameCache(out) as cache:
        for i in range(0, len(cache), max(1, len(cache) // 20)):
            counts = np.load(made[Path(cache.source(i)).stem])["frames"]
            expected = np.einsum("tcyx,vy,ux->tcvu", counts, BILINEAR, BILINEAR)
            np.testing.assert_allclose(cache[i], expected, rtol=1e-5, atol=1e-5)
        assert len(made) == len(cache)


def bilinear_matrix() -> NDArray[np.float64]:
    """The resizing of a 128-pixel axis to 48, spelled out: bin i reads between the pixels around (i + ½)·8/3 − ½."""
    matrix = np.zeros((48, 128))
    for i in range(48):
        place = (i + 0.5) * 128 / 48 - 0.5
        matrix[i, int(place) : int(place) + 2] = 1 - place % 1, place % 1
    return matrix


BILINEAR = bilinear_matrix()


def simulated(folder: Path, number: int) -> list[Path]:
    """Recordings of crops of two photographs before the simulated camera."""
    files = [folder / f"{i}.aedat" for i in range(number)]
    for _ in run_tasks(simulate, list(enumerate(files)), num_cores()):
        pass
    return files


def simulate(task: tuple[int, Path]) -> None:
    from sklearn.datasets import load_sample_images

    seed, path = task
    photograph, rng = load_sample_images().images[seed % 2], np.random.default_rng(seed)
    y, x = (int(rng.integers(0, side - 32 * STRIDE)) for side in photograph.shape[:2])
    crop = photograph[y : y + 32 * STRIDE : STRIDE, x : x + 32 * STRIDE : STRIDE]
    path.write_bytes(aedat2.encode(simulate_dvs(crop, seed)))


def make_archives(folder: Path, num_recordings: int) -> Path:
    folder.mkdir()
    each = -(-num_recordings // len(CLASSES))
    with tempfile.TemporaryDirectory() as plain:
        files = simulated(Path(plain), each * len(CLASSES))
        for label, name in enumerate(CLASSES):
            with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                for i, path in enumerate(files[label * each : (label + 1) * each]):
                    archive.write(path, f"{name}/cifar10_{name}_{i}.aedat")
    return folder


@contextmanager
def peers(environment: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """A process in the peers' environment, as a function that asks it to do something."""
    python = environment / "bin/python"
    if not (environment / "ready").exists():
        tell(f"installing the peers into {environment}")
        venv.create(environment, with_pip=True)
        for arguments in (PACKAGES, ["--no-deps", *PEERS]):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *arguments], check=True)
        (environment / "ready").touch()
    with subprocess.Popen(
        [python, HERE / "peers.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        answers = peer.stdout

        def ask(**command: Any) -> dict[str, Any]:
            print(json.dumps(command), file=peer.stdin, flush=True)
            line = answers.readline()
            assert line, "the peers' process ended, see above"
            answer: dict[str, Any] = json.loads(line)
            return answer

        yield ask


@contextmanager
def watched(pid: int) -> Iterator[list[int]]:
    """The largest memory of a process and its children together, proportional shares, bytes; looked at now and then."""
    done, peak = Event(), [0]

    def look() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], sum(memory(each) for each in [pid, *children(pid)]))

    thread = Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def children(pid: int) -> list[int]:
    try:
        own = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return own + [grandchild for child in own for grandchild in children(child)]


def memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    sys.exit(main())
