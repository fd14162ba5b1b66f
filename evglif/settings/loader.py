"""How batches are made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LoaderConfig:
    """How batches are made.

    Attributes:
        batch_size: samples per step and device.
        workers: threads that read ahead; 0 reads when a batch is asked for. Copying frames holds no lock of Python's.
        validation: share of the training split that is cut off for validation where the file has no such split.

    Raises:
        ValueError: naming the value that is out of range.
    """

    batch_size: int = 32
    workers: int = 1
    validation: float = 0.15

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.workers < 0:
            raise ValueError(f"batch_size ≥ 1 and workers ≥ 0, got {self.batch_size} and {self.workers}")
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation must be a share in [0, 1), got {self.validation}")
