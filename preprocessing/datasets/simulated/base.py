"""Recordings that are simulated from pictures: made once, kept, and made anew when what decides them changes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.cache import package_version
from preprocessing.datasets.simulated.camera import CameraSettings, simulate_dvs
from preprocessing.events import RecordingError
from preprocessing.files import exclusive, write_whole
from preprocessing.frames.pictures import read_picture
from preprocessing.progress import progress
from preprocessing.workers import WorkerDiedError, num_workers, run_tasks

STAMP = "camera.json"

_SECONDS_EACH = 0.02


@dataclass(frozen=True)
class Shot:
    """A recording to be made.

    Attributes:
        name: its path relative to the root.
        picture: what is recorded, or the image file that holds it.
        seed: fixes the simulation.
        digest: of everything else that decides the recording; another one is another recording.
    """

    name: str
    picture: NDArray[np.generic] | Path
    seed: int
    digest: str


def content_digest(picture: NDArray[np.generic]) -> str:
    """A digest of a picture's values, shape and type."""
    return sha256(f"{picture.dtype.str}{picture.shape}".encode() + picture.tobytes()).hexdigest()


def simulate_missing(root: Path, shots: Sequence[Shot], settings: CameraSettings, workers: int | None) -> None:
    """Simulate the recordings that are not there, or were made from other pictures or by other settings.

    Each is written whole, so that what an interrupted run has made is kept. Pictures that cannot be used are passed
    over: their recordings are missing afterwards.

    Raises:
        BusyError: another process is doing so.
    """
    with exclusive(root / ".simulating", f"simulating recordings in {root}"):
        _discard_stale(root, {shot.name: shot.digest for shot in shots}, settings)
        missing = [_Task(root / shot.name, shot, settings) for shot in shots if not (root / shot.name).exists()]
        errors = (RecordingError, MemoryError, WorkerDiedError)
        done = run_tasks(_record, missing, num_workers(workers, _SECONDS_EACH * len(missing)), errors)
        for _ in progress(done, len(missing), "simulating", "recordings"):
            pass


def stamped(root: Path) -> dict[str, str]:
    """The recordings that were simulated in ``root``: names and digests. A stamp has no say on what lies outside."""
    recordings: dict[str, str] = _read_stamp(root).get("recordings", {})
    paths = {name: Path(name) for name in recordings}
    return {n: recordings[n] for n, path in paths.items() if ".." not in path.parts and not path.is_absolute()}


@dataclass(frozen=True)
class _Task:
    path: Path
    shot: Shot
    settings: CameraSettings


def _record(task: _Task) -> None:
    from preprocessing.readers.aedat2 import encode

    picture = task.shot.picture
    image = read_picture(picture) if isinstance(picture, Path) else picture
    try:
        events = simulate_dvs(image, task.shot.seed, task.settings)
    except ValueError as error:
        raise RecordingError(str(error)) from error
    task.path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(task.path, encode(events))


def _discard_stale(root: Path, digests: dict[str, str], settings: CameraSettings) -> None:
    """Remove what is no longer right. The stamp comes last: with it there, every recording is as it says."""
    camera = {"version": package_version(), **asdict(settings)}
    before = stamped(root)
    kept = before if _read_stamp(root).get("camera") == camera else {}
    now = kept | digests
    for name in before | digests:
        if kept.get(name) is None or kept[name] != now[name]:
            (root / name).unlink(missing_ok=True)
    if now != kept:
        write_whole(root / STAMP, json.dumps({"camera": camera, "recordings": now}, indent=1).encode())


def _read_stamp(root: Path) -> dict[str, Any]:
    try:
        stamp = json.loads((root / STAMP).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}
