"""A plan over its buffers, written down in the tables that the compiled loops go by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.events import tables
from deploy.events.file import Model
from deploy.events.packing import PackedLayer
from deploy.events.plan import Join, Layer, Mean, Operation, Pool
from deploy.events.values import Buffers, Value

_HOW = {"add": tables.ADD, "and": tables.AND, "iand": tables.IAND, "mean": 0, "max": 1}
_NEAR = 1 << 18
"""Bytes of currents and sums that a thread works on at a time, of a second-level cache."""
_USUAL_ACTIVITY = 0.2


class Program:
    """What ``kernels.run`` takes.

    Args:
        model: that is run.
        layers: its layers, packed.
        steps: of a run.
        keep: use no buffer twice, so that all values are there afterwards.

    Attributes:
        buffers: of all values, by name.
        operations, terms, values: records of ``tables``.
        work: about how many additions each operation takes.
        room_bytes: of each thread's own memory.
    """

    def __init__(self, model: Model, layers: Mapping[str, PackedLayer], steps: int, keep: bool = False) -> None:
        self.buffers: dict[str, Value] = Buffers(model, steps, keep).values
        self._layers = layers
        self._numbers = {name: number for number, name in enumerate(self.buffers)}
        self.values = np.concatenate([_value(each) for each in self.buffers.values()])
        self.terms = np.concatenate([self._terms_of(each) for each in model.plan.operations if isinstance(each, Layer)])
        self.room_bytes, self._num_terms = 0, 0
        made = [self._operation(each) for each in model.plan.operations]
        self.operations = np.concatenate([record for record, _ in made])
        self.work = [work for _, work in made]

    def _terms_of(self, layer: Layer) -> NDArray[Any]:
        terms = self._layers[layer.out].terms.copy()
        terms["source"] = [self._numbers[term.source] for term in layer.terms]
        return terms

    def _operation(self, operation: Operation) -> tuple[NDArray[Any], int]:
        record, out = np.zeros(1, tables.OPERATION), self.buffers[operation.out]
        record["out"] = self._numbers[operation.out]
        if isinstance(operation, Layer):
            return record, self._layer(record, operation, out)
        if isinstance(operation, Join):
            sources = self.buffers[operation.first], self.buffers[operation.second]
            record["kind"], record["how"] = tables.JOIN, _HOW[operation.how]
            record["first"], record["second"] = self._numbers[operation.first], self._numbers[operation.second]
            units = [each.shape.unit for each in (*sources, out)]
            if operation.how == "add" and all(units):
                shifts = [round((unit or 1) / (units[2] or 1)).bit_length() - 1 for unit in units[:2]]
                record["shift"], record["second_shift"] = shifts
            return record, out.bits.size + out.numbers.size
        record["first"] = self._numbers[operation.source]
        if isinstance(operation, Mean):
            record["kind"] = tables.MEAN
        if isinstance(operation, Pool):
            record["kind"], record["how"] = tables.POOL, _HOW[operation.how]
            record["height"], record["width"] = operation.size
        return record, 4 * (out.bits.size + out.numbers.size)

    def _layer(self, record: NDArray[Any], layer: Layer, out: Value) -> int:
        packed = self._layers[layer.out]
        pixel = 4 * packed.block
        sources = [self.buffers[term.source] for term in layer.terms]
        sums = pixel * (max(out.shape.width, *(each.shape.width for each in sources)) + 2)
        current = pixel * out.shape.width
        at_once = max(1, min(out.steps, _NEAR // (sums + current)))
        if min(each.steps for each in sources) < out.steps:
            at_once = out.steps  # what is the same at all steps is summed once
        self.room_bytes = max(self.room_bytes, current + at_once * (sums + current))
        values = {
            "kind": tables.LAYER, "first_term": self._num_terms, "num_terms": len(layer.terms), "block": packed.block,
            "steps_at_once": at_once, "bias": packed.bias.ctypes.data, "coefficients": packed.coefficients.ctypes.data,
            "gain": packed.gain.ctypes.data, "num_gains": len(packed.gain), "rest": packed.rest.ctypes.data,
            "strict": packed.strict, "fires": packed.fires, "rectify": layer.rectify, "padded": packed.padded,
        }  # fmt: skip
        for name, value in values.items():
            record[name] = value
        self._num_terms += len(layer.terms)
        shape = out.shape
        return int(shape.height * shape.width * shape.channels * out.steps * packed.additions * _USUAL_ACTIVITY)


def _value(value: Value) -> NDArray[Any]:
    record, shape = np.zeros(1, tables.VALUE), value.shape
    fields = {
        "counted": shape.unit is not None, "bits": value.bits.ctypes.data, "numbers": value.numbers.ctypes.data,
        "planes": shape.planes, "steps": value.steps, "height": shape.height, "width": shape.width,
        "channels": shape.channels, "words": -(-shape.channels // 64), "unit": shape.unit or 1,
    }  # fmt: skip
    for name, field in fields.items():
        record[name] = field
    return record
