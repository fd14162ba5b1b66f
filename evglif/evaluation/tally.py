"""Adding up what a model says, batch by batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from evglif.data import FrameDataset
from evglif.evaluation.figures import TOP, Evaluation, Predictions


class Tally:
    """Adds up batches; per sample it keeps no more than a few bytes.

    Args:
        dataset: the samples, in their order.
        num_classes: K.
    """

    def __init__(self, dataset: FrameDataset, num_classes: int) -> None:
        self.dataset = dataset
        self.num_classes = num_classes
        self.batches: list[tuple[Tensor, Tensor, Tensor]] = []
        self.num_samples = 0
        self.loss = 0.0
        self.in_top = 0
        self.right_by_step: Tensor | int = 0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            logits: of every step, ``[T, B, K]``.
            labels: ``[B]``, on the same device.

        Raises:
            ValueError: for logits that are not finite; the first such sample is named.
        """
        logits = logits.float()
        self._check(logits)
        steps = torch.arange(1, len(logits) + 1, device=logits.device)[:, None, None]
        so_far = logits.cumsum(0) / steps
        mean = so_far[-1]
        confidence, predicted = mean.softmax(1).max(1)
        self.batches.append((labels.cpu(), predicted.cpu(), confidence.cpu()))
        self.num_samples += len(labels)
        self.loss += F.cross_entropy(mean, labels, reduction="sum").item()
        self.right_by_step = self.right_by_step + (so_far.argmax(2) == labels).sum(1).cpu()
        if self.num_classes > TOP:
            self.in_top += int((mean.topk(TOP, 1).indices == labels[:, None]).sum())

    def _check(self, logits: Tensor) -> None:
        finite = logits.isfinite().all(2).all(0)
        if not finite.all():
            row = int(finite.logical_not().nonzero()[0])
            index, cache = int(self.dataset.indices[self.num_samples + row]), self.dataset.cache
            raise ValueError(
                f"the model's logits are not finite for sample {index} of {cache.path}, {cache.source(index)}; "
                "its weights are damaged or have diverged: evaluate another checkpoint, e.g. best.pt"
            )

    def result(self) -> Evaluation:
        """The figures so far, without firing and time."""
        labels, predicted, confidence = (torch.cat(column).numpy() for column in zip(*self.batches, strict=True))
        assert isinstance(self.right_by_step, Tensor)
        return Evaluation(
            num_classes=self.num_classes,
            predictions=Predictions(self.dataset.indices, labels, predicted, confidence),
            loss=self.loss / self.num_samples,
            accuracy_by_step=tuple((self.right_by_step.double() / self.num_samples).tolist()),
            top5=self.in_top / self.num_samples if self.num_classes > TOP else None,
        )
