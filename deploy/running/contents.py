"""Whether an ONNX file holds only what may be run: looked through before anything of it is loaded.

- Everything lies in the file: no tensor names another one.
- Its run ends: the one operator with a graph inside is Scan, once for each time step, and no Scan lies in another. Loop
  and If, and functions that call functions, can go on for ever or unfold without end; no export has any.
- Its weights are numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from deploy.running.protobuf import Part, fields, parts, strings

_EXTERNAL_DATA, _DATA_LOCATION, _EXTERNAL = 13, 14, 1
_KEY, _VALUE = 1, 2
_NODE_OPERATOR, _NODE_DOMAIN = 4, 7
_TENSOR_TYPE, _TENSOR_NAME, _RAW_DATA = 2, 8, 9
_FLOATS = {1: ("<f4", 4), 10: ("<f2", 0), 11: ("<f8", 10)}
"""Number of a tensor's type → type of its raw values, and the field that may hold them instead."""


def check_contents(data: memoryview, source: str) -> None:
    """Make sure that an ONNX file holds only what may be run.

    Raises:
        ValueError: naming ``source`` and what is wrong with it; also where the bytes are no protobuf message.
    """
    for part in parts(data):
        if part.kind == "tensor":
            _check_tensor(part.message, source)
        elif part.kind == "function":
            raise ValueError(f"{source} defines functions, which no export of this package does; {_ANEW}")
        elif part.kind == "graph" and part.around:
            _check_inner_graph(part, source)


_ANEW = "export the checkpoint anew"


def external_files(data: memoryview) -> list[str]:
    """Where tensors of an ONNX file say that they lie, outside of it; empty for a file that stands alone."""
    return [place for part in parts(data) if part.kind == "tensor" for place in _locations(part.message)]


def _check_tensor(tensor: memoryview, source: str) -> None:
    for place in _locations(tensor):
        raise ValueError(
            f"{source} keeps weights in another file ({place!r}), which is not opened; an export of this package is "
            f"one file: {_ANEW}"
        )
    values = list(fields(tensor))
    kinds = [value for number, value in values if number == _TENSOR_TYPE and isinstance(value, int)]
    if not kinds or kinds[-1] not in _FLOATS:
        return
    dtype, unpacked = _FLOATS[kinds[-1]]
    for number, value in values:
        if number in (_RAW_DATA, unpacked) and isinstance(value, memoryview):
            whole = len(value) // np.dtype(dtype).itemsize * np.dtype(dtype).itemsize
            if not np.isfinite(np.frombuffer(value[:whole], dtype)).all():
                names = [
                    bytes(name).decode(errors="replace") for field, name in strings(tensor) if field == _TENSOR_NAME
                ]
                raise ValueError(
                    f"{source} holds NaN or infinite weights ({(names or ['unnamed'])[-1]!r}); export it anew from a "
                    "checkpoint that python -m evglif.evaluate takes"
                )


def _check_inner_graph(graph: Part, source: str) -> None:
    """Refuse every operator with a graph inside but a Scan of the model's own graph."""
    operator = _operator(graph.around[-1])
    if operator != "Scan":
        raise ValueError(f"{source} has the operator {operator}, whose run need not end; no export has one: {_ANEW}")
    if len(graph.around) > 1:
        raise ValueError(f"{source} has a {operator} inside another operator, which no export has: {_ANEW}")


def _operator(node: memoryview) -> str:
    """Its name, behind its domain where that is not ONNX's own."""
    texts = {number: bytes(value).decode(errors="replace") for number, value in strings(node)}
    return ".".join(filter(None, (texts.get(_NODE_DOMAIN), texts.get(_NODE_OPERATOR, "?"))))


def _locations(tensor: memoryview) -> Iterator[str]:
    """One place for a tensor that lies elsewhere, ``"?"`` where it says so and not where."""
    entries = [dict(strings(part)) for number, part in strings(tensor) if number == _EXTERNAL_DATA]
    if entries or (_DATA_LOCATION, _EXTERNAL) in fields(tensor):
        named = [entry.get(_VALUE, b"") for entry in entries if entry.get(_KEY, b"") == b"location"]
        yield next((bytes(name).decode(errors="replace") for name in named), "?")
