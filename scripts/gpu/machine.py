"""What a check ran on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from scripts.gpu.tables import markdown

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "triton", "numpy", "numba", "lightning_fabric", "spikingjelly")


def card(device: str) -> str:
    """The GPU's name as part of a folder's; that of the device where it is none."""
    name = torch.cuda.get_device_name() if device == "cuda" else device
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")


def default_folder(device: str) -> Path:
    """Where results go: one folder a day and card."""
    return ROOT / f"scripts/bench/results/gpu-{datetime.now(UTC):%Y-%m-%d}-{card(device)}"


def machine(device: str) -> str:
    """Hardware, versions and date as Markdown."""
    rows = [
        ("what", "value"),
        ("date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("GPU", _gpu(device)),
        ("CUDA of torch", str(torch.version.cuda)),
        ("system", f"{platform.platform()}, {os.cpu_count()} processors"),
        ("Python", platform.python_version()),
        *((package, installed(package)) for package in PACKAGES),
        ("commit", commit()),
    ]
    return markdown(rows)


def _gpu(device: str) -> str:
    if device != "cuda":
        return "none: this ran on the processor, at toy size"
    gpu = torch.cuda.get_device_properties(0)
    return f"{gpu.name}, {gpu.total_memory / 1e9:.0f} GB, compute capability {gpu.major}.{gpu.minor}"


def installed(package: str) -> str:
    """Version of a package, or that it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def commit() -> str:
    """The commit of the checkout."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"
