"""Damage a model in many ways and use each: ``python -m tests.helpers.fuzz_models MODEL FIRST NUM``.

Prints the number of the damage before it is tried, so that whoever runs this knows of a crash, and at last what came of
them all as JSON. Memory is bounded to 4 GiB more than it begins with.
"""

from __future__ import annotations

import json
import resource
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx

from deploy.running.metadata import KEY
from deploy.runtime import Classifier

MORE_BYTES = 4 << 30
VALUES = [0, -1, 1, 3, 2**31, 2**63 - 1]
TEXTS = ["", "x", "Loop", "frame", "logits", "weights", "step"]
DESCRIPTIONS = [None, True, -1, 0, 3, 10**9, 1e-9, "", "x", "step", [], [1], [2, 2], {}]


def damaged(data: bytes, number: int) -> bytes:
    """The file with the damage of this number: of its bytes, of its graph, or of its description."""
    rng = np.random.default_rng(number)
    kind = number % 3
    if kind == 0:
        return _bytes(data, rng)
    proto = onnx.load_from_string(data)
    if kind == 1:
        for _ in range(rng.integers(1, 4)):
            _change(proto, rng)
    else:
        (entry,) = [entry for entry in proto.metadata_props if entry.key == KEY]
        description = json.loads(entry.value)
        for _ in range(rng.integers(1, 3)):
            _redescribe(description, rng)
        entry.value = json.dumps(description)
    return proto.SerializeToString()


def _bytes(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        at, num = int(rng.integers(len(changed))), int(rng.integers(1, 9))
        how = rng.integers(4)
        if how == 0:
            changed[at] ^= 1 << int(rng.integers(8))
        elif how == 1:
            changed[at : at + num] = rng.bytes(num)
        elif how == 2:
            del changed[at : at + num]
        else:
            del changed[max(at, 1) :]
    return bytes(changed)


def _change(message: object, rng: np.random.Generator) -> None:
    """Change one field somewhere inside of a message."""
    fields = message.ListFields()
    if not fields:
        return
    field, value = fields[rng.integers(len(fields))]
    if field.type == field.TYPE_MESSAGE and rng.random() < 0.9:
        several = field.is_repeated
        if several and rng.random() < 0.1:
            value.add().CopyFrom(value[rng.integers(len(value))])
            return
        _change(value[rng.integers(len(value))] if several else value, rng)
    elif field.is_repeated or field.type == field.TYPE_MESSAGE:
        message.ClearField(field.name)
    elif field.type == field.TYPE_STRING:
        setattr(message, field.name, str(rng.choice(TEXTS)))
    elif field.type == field.TYPE_BYTES:
        setattr(message, field.name, rng.bytes(int(rng.integers(64))))
    elif field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        setattr(message, field.name, float(rng.choice([0, -1, np.nan, np.inf, 1e30])))
    else:
        _set_number(message, field.name, int(rng.choice(VALUES)))


def _set_number(message: object, name: str, value: int) -> None:
    try:
        setattr(message, name, value)
    except ValueError:  # beyond 32 bits, or no value of an enumeration
        setattr(message, name, 1)


def _redescribe(inside: object, rng: np.random.Generator) -> None:
    steps = list(inside) if isinstance(inside, dict) else range(len(inside))
    if not len(steps):
        return
    step = steps[int(rng.integers(len(steps)))]
    if isinstance(inside[step], dict | list) and rng.random() < 0.6:
        _redescribe(inside[step], rng)
    elif rng.random() < 0.2:
        del inside[step]
    else:
        inside[step] = DESCRIPTIONS[int(rng.integers(len(DESCRIPTIONS)))]


def outcome(path: Path, events: np.ndarray) -> str:
    """What came of a file: "used", "refused", or the error that should not be."""
    try:
        classifier = Classifier(path, threads=1)
        classifier.predict(events)
        if classifier.metadata.form == "step":
            stream = classifier.stream("events:10")
            stream.feed(events)
            stream.finish()
    except ValueError as error:
        return "refused" if len(str(error)) < 5000 else f"an endless message: {str(error)[:200]}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "used"


def main() -> None:
    """The command line."""
    model, first, num = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    from tests.helpers.spots import SIDES, spot

    events = spot(np.random.default_rng(0), *SIDES["left"])
    outcome(model, events)  # whatever is compiled and loaded first
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MORE_BYTES,) * 2)
    path = model.with_suffix(f".{first}.onnx")
    data, found = model.read_bytes(), Counter()
    for number in range(first, first + num):
        path.write_bytes(damaged(data, number))
        print(number, flush=True)
        found[outcome(path, events)] += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"found": found, "peak_mib": peak}))


if __name__ == "__main__":
    main()
