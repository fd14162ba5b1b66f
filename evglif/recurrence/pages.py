"""Fresh memory in huge pages: the first touch of 4 kB after 4 kB can cost more than the recurrence itself."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from functools import cache

from torch import Tensor

_LEAST_BYTES = 1 << 22
"""Two huge pages; smaller tensors seldom hold a whole one."""


def in_huge_pages(tensor: Tensor) -> Tensor:
    """The same tensor, not yet written to, after asking Linux to back a large one with huge pages.

    That is a hint: where the kernel knows or allows no huge pages, nothing changes.
    """
    size = tensor.numel() * tensor.element_size()
    if size >= _LEAST_BYTES:
        first = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        whole = (tensor.data_ptr() + size - first) // mmap.PAGESIZE * mmap.PAGESIZE
        _advise()(first, whole)
    return tensor


@cache
def _advise() -> Callable[[int, int], object]:
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is None:
        return lambda *_: None
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return lambda first, size: madvise(first, size, advice)
