"""A stand-in for CUDA graphs on a processor: it keeps the operators that ran, and the memory they ran on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from evglif.training.graphs import NotRecordedError


class Tape:
    """Does again what was recorded as a graph would: the same operators and numbers, on the same memory, no Python.

    As in a graph, recording does nothing, and what needs the host to look at a tensor cannot be recorded.
    """

    def __init__(self) -> None:
        self.num_plain = self.num_recorded = self.num_done_again = 0

    def plain(self, work: Callable[[], Tensor]) -> Tensor:
        self.num_plain += 1
        return work()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        mode = _Recording()
        generator = torch.get_rng_state()
        try:
            with mode:
                work()
        finally:
            torch.set_rng_state(generator)
            mode.undo()
        self.num_recorded += 1

        def again() -> None:
            self.num_done_again += 1
            mode.run()

        return again


class _Recording(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}
        self.made: set[int] = set()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if operator is torch.ops.aten._local_scalar_dense.default:
            raise NotRecordedError("the host would have to wait for a tensor")
        for tensor in tree_leaves((args, kwargs)):  # a batch norm changes statistics, and its schema doesn't say so
            if isinstance(tensor, Tensor) and _memory(tensor) not in self.made:
                self.before.setdefault(id(tensor), (tensor, tensor.detach().clone()))
        result = operator(*args, **kwargs)
        shares = operator._schema.is_mutable or any(value.alias_info is not None for value in operator._schema.returns)
        fresh = [] if shares else [each for each in tree_leaves(result) if isinstance(each, Tensor)]
        self.made |= {_memory(each) for each in fresh}
        self.calls.append((operator, args, kwargs, fresh))
        return result

    def undo(self) -> None:
        for tensor, value in self.before.values():
            tensor.detach().copy_(value)

    def run(self) -> None:
        with torch.no_grad():
            for operator, args, kwargs, kept in self.calls:
                fresh = [each for each in tree_leaves(operator(*args, **kwargs)) if isinstance(each, Tensor)]
                for old, new in zip(kept, fresh, strict=False):
                    old.copy_(new)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
