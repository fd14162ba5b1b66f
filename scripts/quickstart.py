"""The main job from end to end on the embedded digits: recordings in, a deployed classifier out.

    scripts/quickstart                  # the same after setting up .venv
    python -m scripts.quickstart --out runs/other

Records scikit-learn's handwritten digits with a simulated event camera, trains a small GLIF network on the CPU, exports
it, and classifies recordings from their raw files with the exported model. No download.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from deploy.export import export
from deploy.infer import Prediction, classify
from deploy.runtime import Classifier
from evglif.plots import plot_frames
from evglif.train import parse_arguments, train
from preprocessing.build import build
from preprocessing.cache import FrameCache
from preprocessing.commands import command
from preprocessing.datasets.simulated.digits import Digits

STEPS, SIZE = 4, (16, 16)
NUM_TIMED = 50


@command("what was made is kept, and the same command goes on from there")
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder for recordings and frames")
    parser.add_argument("--out", type=Path, default=Path("runs/quickstart"), help="folder of the run")
    options = parser.parse_args()
    started = time.perf_counter()

    print("1 · build: digits in front of a simulated event camera → AEDAT-2.0 files → frames")
    digits, frames_file = Digits(options.data / "digits"), options.data / "digits.h5"
    built = build(digits, frames_file, steps=STEPS, size=SIZE, resize="area")
    print(built)

    print("\n2 · train: 7B-wideNet of GLIF neurons, narrow, on the CPU")
    results = trained(frames_file, options.out)

    print("\n3 · export, each file checked against the checkpoint on test samples")
    checkpoint = options.out / "best.pt"
    parities = {}
    for form in ("onnx", "torchscript"):
        file, parities[form] = export(checkpoint, form, data=frames_file)
        print(f"{file}: {file.stat().st_size / 1e6:.2f} MB, {parities[form]}")

    print("\n4 · classify recordings from their raw files with the exported model")
    with FrameCache(frames_file) as cache:
        rows = classified(cache, digits.root, checkpoint, options.out)
        rows = {
            "test accuracy, checkpoint": f"{results['best']['test']['accuracy']:.2%} of {len(cache.indices('test'))}",
            **rows,
            "spikes a sample": f"{results['best']['test']['spikes']:,.0f}",
            **{f"parity, {form}": str(parity) for form, parity in parities.items()},
            "events → frames": rate(cache, built.seconds),
            "training": f"{results['training_seconds']:.0f} s, {results['recipe']['epochs']} epochs",
            "in all": f"{time.perf_counter() - started:.0f} s",
        }
    print_table(rows)
    pictures = ("what_went_in_and_came_out.png", "curves.png", "confusion.png")
    print("\npictures: " + ", ".join(str(options.out / name) for name in pictures))


def trained(data: Path, out: Path) -> dict[str, Any]:
    """Results of the run in ``out``: of one made before from the same frames with the same recipe, or of a new one."""
    recipe, _ = parse_arguments(["--recipe", "digits", "--data", str(data), "--out", str(out)])
    results_file = out / "results.json"
    if results_file.exists():
        results: dict[str, Any] = json.loads(results_file.read_text(encoding="utf-8"))
        with FrameCache(data) as cache:
            if (results["recipe"], results["fingerprint"]) == (recipe.to_dict(), cache.fingerprint):
                print(f"{out} holds this run already; remove the folder to train anew")
                return results
    return train(recipe, data, out, overwrite=True)


def classified(cache: FrameCache, root: Path, checkpoint: Path, out: Path) -> dict[str, str]:
    """Classify every test recording from its raw file; compare with the checkpoint, time it, draw one."""
    import torch

    from evglif.checkpoint import read_checkpoint

    classifier = Classifier(checkpoint.with_suffix(".onnx"))
    indices = cache.indices("test")
    predictions = predicted(classifier, [root / cache.source(int(index)) for index in indices])
    labels = [cache.classes[label] for label in cache.labels[indices]]
    right = np.mean([prediction.label == label for prediction, label in zip(predictions, labels, strict=True)])
    with torch.inference_mode():
        frames = torch.from_numpy(cache.stored(indices) * np.float32(cache.scale))
        answers = read_checkpoint(checkpoint).model(frames).argmax(1).tolist()
    same = np.mean([p.label == cache.classes[answer] for p, answer in zip(predictions, answers, strict=True)])
    first = predictions[0]
    title = f"{Path(first.recording).name}: a {labels[0]}, classified as {first.label} ({first.probability:.0%})"
    picture = out / "what_went_in_and_came_out.png"
    plot_frames(cache[int(indices[0])], title, picture, first.probabilities)
    times = [predicted(classifier, [Path(first.recording)])[0].milliseconds for _ in range(NUM_TIMED)]
    return {
        "test accuracy, ONNX on raw files": f"{right:.2%}",
        "same class as the checkpoint": f"{same:.2%}",
        "latency, raw file → class": f"{np.median(times):.1f} ms (median of {NUM_TIMED})",
    }


def predicted(classifier: Classifier, recordings: list[Path]) -> list[Prediction]:
    """A prediction for every recording; the first that cannot be used raises."""
    predictions = []
    for outcome in classify(classifier, recordings):
        if not isinstance(outcome, Prediction):
            raise outcome
        predictions.append(outcome)
    return predictions


def rate(cache: FrameCache, seconds: float) -> str:
    """Events per second of the build, or how many events there were where it had been done before."""
    millions = int(cache.num_events.sum()) / 1e6
    return f"{millions / seconds:.1f} M events/s ({millions:.1f} M)" if seconds else f"{millions:.1f} M events"


def print_table(rows: dict[str, str]) -> None:
    width = max(len(name) for name in rows)
    print()
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}")


if __name__ == "__main__":
    sys.exit(main())
