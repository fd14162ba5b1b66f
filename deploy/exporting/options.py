"""What can be asked of an export."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

FORMATS = ("onnx", "onnx-step", "torchscript", "pt2", "nir", "events")
PRECISIONS = ("fp32", "fp16", "int8")
NIR_READERS = ("snntorch", "spikingjelly", "norse", "sinabs")
FIRST_OPSET = 18
"""The first whose Split divides by a number of outputs; onnxruntime 1.16 knows it."""


AGREEMENT = 0.99
"""Least share of samples that must get the same class; one rounding near a threshold may turn a close decision."""

DT_S = 1e-4
"""snnTorch reads no other, and it is SpikingJelly's default."""
BUDGET_S = 10.0
"""Time for comparing a file with its checkpoint, beyond which a person would wait for nothing else."""


@dataclass(frozen=True)
class ExportOptions:
    """How a checkpoint is exported.

    Attributes:
        format: one of ``FORMATS``.
        fold: fold batch norms into convolutions (``--fast``) or keep them as they are (``--exact``).
        opset: ONNX: version of the operators.
        compat: ONNX: nothing that onnxruntime 1.16 does not load.
        scan: ONNX: recurrences as Scan rather than unrolled.
        precision: ONNX: ``"fp32"``, or ``"fp16"`` or ``"int8"`` for convolutions and linear layers; events: ``"fp32"``
            or ``"int8"``.
        calibration: ONNX in int8: cache whose training split gives the range of what is no spike.
        accept: differences between the data given and those of the training that are meant, as in
            ``evglif.data.check_checkpoint``.
        bound: least share of samples on which the file must say what the checkpoint says; refused is one whose 95 %
            interval lies below.
        budget: seconds for comparing file and checkpoint, on as many samples as they allow; None for all samples.
        dt: NIR: the time step that its time constants are meant for, s.
        reader: NIR: what is to read the file, one of ``deploy.exporting.nir.readers.READERS``; empty for any.
        sum_pools: NIR: sum pools for average ones, their factor in the weights behind them.

    Raises:
        ValueError: for an unknown name, or options that do not go together; what to do is said.
    """

    format: str = "onnx"
    fold: bool = True
    opset: int = FIRST_OPSET
    compat: bool = False
    scan: bool = False
    precision: str = "fp32"
    calibration: Path | None = None
    accept: tuple[str, ...] = ()
    bound: float = AGREEMENT
    budget: float | None = BUDGET_S
    dt: float = DT_S
    reader: str = ""
    sum_pools: bool = False

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"unknown format {self.format!r}; choose one of {', '.join(FORMATS)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}; choose one of {', '.join(PRECISIONS)}")
        if self.opset != FIRST_OPSET:
            self._check_opset()
        if not 0 <= self.bound <= 1:
            raise ValueError(f"bound {self.bound}: a share of samples from 0 to 1, such as 0.97")
        if self.budget is not None and not 0 <= self.budget < math.inf:
            raise ValueError(f"budget {self.budget}: a time in seconds, such as 60, or all")
        if not 0 < self.dt < math.inf:
            raise ValueError(f"dt {self.dt}: a time step in seconds, such as {DT_S:g}")
        if self.reader not in ("", *NIR_READERS):
            raise ValueError(f"unknown reader {self.reader!r}; choose one of {', '.join(NIR_READERS)}")
        if self.compat and self.opset != FIRST_OPSET:
            raise ValueError(f"onnxruntime 1.16 loads opset {FIRST_OPSET}, not {self.opset}; leave out --opset")
        self._check_format()

    def _check_opset(self) -> None:
        from onnx.defs import onnx_opset_version

        if not FIRST_OPSET <= self.opset <= onnx_opset_version():
            raise ValueError(f"opset {self.opset}: choose one from {FIRST_OPSET} to {onnx_opset_version()}")

    def _check_format(self) -> None:
        onnx = self.format in ("onnx", "onnx-step")
        if self.format == "events" and self.precision == "fp16":
            raise ValueError("files of events hold fp32 or int8; choose one of them for --precision")
        if self.precision != "fp32" and not onnx and self.format != "events":
            raise ValueError(f"{self.format} files hold fp32; choose --format onnx for {self.precision}")
        if self.scan and self.format != "onnx":
            raise ValueError(f"only --format onnx has a Scan; {self.format} was asked for")
        if onnx and self.precision == "int8" and self.calibration is None:
            raise ValueError("int8 needs the range of the first layer's input: add --calibration FILE.h5")
        if self.format != "nir" and (self.reader or self.dt != DT_S or self.sum_pools):
            raise ValueError(f"only --format nir has a reader, a time step and sum pools; {self.format} was asked for")
        if self.format in ("nir", "events") and not self.fold:
            raise ValueError(f"{self.format} files have no batch norm; leave out --exact")
