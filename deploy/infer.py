"""Classify recordings with an exported model: ``python -m deploy.infer MODEL RECORDING…``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.runtime import Classifier


@dataclass(frozen=True)
class Prediction:
    """What a model says of one recording.

    Attributes:
        recording: its path.
        label: the likeliest class.
        probability: of that class.
        probabilities: of every class.
        milliseconds: from the raw file to the answer.
    """

    recording: str
    label: str
    probability: float
    probabilities: dict[str, float]
    milliseconds: float


def classify(classifier: Classifier, recording: Path) -> Prediction:
    """Classify one recording; raises as ``Classifier.predict``."""
    started = time.perf_counter()
    probabilities = classifier.predict(recording)
    milliseconds = 1e3 * (time.perf_counter() - started)
    named = dict(zip(classifier.classes, map(float, probabilities), strict=True))
    label = max(named, key=named.__getitem__)
    return Prediction(str(recording), label, named[label], named, milliseconds)


def main(arguments: list[str] | None = None) -> int:
    """The command line; a recording that cannot be used gets its own line and exit status 1."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.infer",
        description="Classify recordings with an exported model, from the raw file, without torch.",
        epilog="example: python -m deploy.infer runs/digits/best.onnx data/digits/7/digit_0007.aedat",
    )
    parser.add_argument("model", type=Path, help="ONNX file written by python -m deploy.export")
    parser.add_argument("recordings", type=Path, nargs="+", metavar="recording", help="recordings to classify")
    parser.add_argument("--json", action="store_true", help="print one JSON object per recording")
    options = parser.parse_args(arguments)
    try:
        classifier = Classifier(options.model)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return max(_print_prediction(classifier, recording, options.json) for recording in options.recordings)


def _print_prediction(classifier: Classifier, recording: Path, as_json: bool) -> int:
    try:
        prediction = classify(classifier, recording)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps(asdict(prediction)))
    else:
        answer = f"{prediction.label}  {prediction.probability:6.1%}  {prediction.milliseconds:.1f} ms"
        print(f"{recording}: {answer}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
