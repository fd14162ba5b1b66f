"""The peers of preprocess.py, in an environment of their own: their code from file to frames, and to a data set.

Run by preprocess.py. A command is a line of JSON on the standard input, its answer one on the standard output.
torchvision is replaced by what SpikingJelly takes from it for unpacking: its wheels don't load beside every torch.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

os.environ["TQDM_DISABLE"] = "1"
import numpy as np
import torch


class StandIn(types.ModuleType):
    """A module that has every name; all of them None but those that are set."""

    __path__: ClassVar[list[str]] = []  # type: ignore[misc]

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return sys.modules.get(f"{self.__name__}.{name}")


def stand_in_for_torchvision() -> None:
    for name in ("", ".datasets", ".datasets.utils", ".transforms"):
        sys.modules["torchvision" + name] = StandIn("torchvision" + name)
    sys.modules["torchaudio"] = StandIn("torchaudio")
    vars(sys.modules["torchvision.datasets"])["DatasetFolder"] = torch.utils.data.Dataset
    vars(sys.modules["torchvision.datasets.utils"])["extract_archive"] = unpack


def unpack(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)


def resized(frames: np.ndarray) -> np.ndarray:
    """What both leave to torch: 128×128 counts to 48×48."""
    return torch.nn.functional.interpolate(torch.from_numpy(frames).float(), (48, 48), mode="bilinear").numpy()


def spikingjelly_frames(path: str) -> np.ndarray:
    from spikingjelly.datasets.cifar10_dvs import _load_origin_data
    from spikingjelly.datasets.utils import integrate_events_by_fixed_frames_number

    return resized(integrate_events_by_fixed_frames_number(_load_origin_data(path), "number", 16, 128, 128))


def tonic_frames(path: str) -> np.ndarray:
    """``tonic.io.read_dvs_128`` of 1.7.0 fails on its own header function's three values: its lines, one by one."""
    from tonic import io
    from tonic.transforms import ToFrame

    version, start, _ = io.read_aedat_header_from_file(path)
    records = io.get_aer_events_from_file(path, version, start)
    address = records["address"]
    x, y, p = (address >> 8) & 0x007F, (address >> 1) & 0x007F, address & 0x1
    events = io.make_structured_array(x, y, records["timeStamp"], p)
    return resized(ToFrame(sensor_size=(128, 128, 2), n_event_bins=16)(events))


def spikingjelly_data_set(archives: Path, folder: Path) -> None:
    """Unpack, convert and integrate as its CIFAR10DVS does, without the download."""
    from spikingjelly.datasets.base import FrameFixedNumberBuilder, NeuromorphicDatasetConfig
    from spikingjelly.datasets.cifar10_dvs import CIFAR10DVS

    shutil.rmtree(folder, ignore_errors=True)
    extracted, raw = folder / "extract", folder / "events_np"
    for each in (extracted, raw):
        each.mkdir(parents=True)
    CIFAR10DVS.extract_downloaded_files(archives, extracted)
    CIFAR10DVS.create_raw_from_extracted(extracted, raw)
    config = NeuromorphicDatasetConfig(folder, None, "frame", frames_number=16, split_by="number")
    FrameFixedNumberBuilder(config, raw, 128, 128).build()


FRAMES: dict[str, Callable[[str], np.ndarray]] = {"SpikingJelly": spikingjelly_frames, "tonic": tonic_frames}


def answer(command: dict[str, Any]) -> dict[str, float]:
    if command["job"] == "save":
        np.save(command["out"], FRAMES[command["peer"]](command["file"]))
        return {}
    start = perf_counter()
    if command["job"] == "frames":
        for path in command["files"]:
            FRAMES[command["peer"]](path)
        return {"seconds": perf_counter() - start}
    spikingjelly_data_set(Path(command["archives"]), Path(command["folder"]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": perf_counter() - start, "peak_bytes": peak}


def main() -> None:
    torch.set_num_threads(1)
    stand_in_for_torchvision()
    replies, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
