"""What the compiled loops are told of a plan: records of whole numbers, most of them sizes, and addresses of memory."""

from __future__ import annotations

from typing import Any

import numpy as np

LAYER, MEAN, POOL, JOIN = range(4)
"""Kinds of operations."""
CONV, SCALE = range(2)
"""Kinds of terms."""
ADD, AND, IAND = range(3)
"""Kinds of joins."""


def _record(names: str, **others: Any) -> np.dtype[Any]:
    return np.dtype([*((name, np.int64) for name in names.split()), *others.items()])


VALUE = _record("counted bits numbers planes steps height width channels words", unit=np.float32, fill=np.float32)
"""A value: whether it is counts; addresses of its bits or numbers, see ``kernels``; sizes; the unit of counts.

``fill`` keeps records a multiple of 8 bytes long.
"""

TERM = _record(
    "kind source variant sum_kind taps weights scale row_bytes kernel_height kernel_width stride_y stride_x pad_y "
    "pad_x joined"
)
"""A summand of a layer's current.

``variant``, ``sum_kind``, ``taps``: see ``vectors``; ``weights``: address of ``[blocks, k_y, …, taps, block]``;
``scale``: address of ``[C]``; ``row_bytes``: of one input's weights; ``joined``: whether all rows of pixels that a
kernel sees fit in one word together.
"""

OPERATION = _record(
    "kind out first second how shift second_shift height width first_term num_terms block steps_at_once bias "
    "coefficients gain num_gains rest strict fires rectify padded before before_bits after after_bits"
)
"""An operation on values; what its kind does without is nought.

``height``, ``width``: of a window that is pooled; ``shift``, ``second_shift``: by how many planes a joined value is
moved up; ``first_term``, ``num_terms``: of a layer; ``block``: channels done together; ``steps_at_once``: time steps
done together; addresses of coefficients, ``[5, C]`` of a, b, r, d, v, gain ``[T, C]``, resting membranes ``[C]``, and
of the membranes ``[H, W, C]`` and bits ``[H, W, words]`` before and after a run of one step, nought for rest.
"""
