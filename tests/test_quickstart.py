"""The last part of the quick start, on other recordings; the whole of it takes minutes."""

import pytest

from deploy.export import export
from preprocessing.cache import FrameCache
from scripts import quickstart


def test_recordings_are_classified_from_their_raw_files_as_by_the_checkpoint(run, recordings, cache_path, tmp_path):
    checkpoint = tmp_path / "best.pt"
    checkpoint.write_bytes((run / "best.pt").read_bytes())
    export(checkpoint, "onnx", data=cache_path)
    with FrameCache(cache_path) as cache:
        rows = quickstart.classified(cache, recordings, checkpoint, tmp_path)
    assert rows["same class as the checkpoint"] == "100.00%"
    assert rows["latency, raw file → class"].endswith("ms (median of 50)")
    assert (tmp_path / "what_went_in_and_came_out.png").stat().st_size > 5_000


def test_a_recording_that_cannot_be_used_ends_it(run, tmp_path):
    checkpoint = tmp_path / "best.pt"
    checkpoint.write_bytes((run / "best.pt").read_bytes())
    export(checkpoint, "onnx")
    classifier = quickstart.Classifier(tmp_path / "best.onnx")
    with pytest.raises(FileNotFoundError, match=r"missing\.aedat"):
        quickstart.predicted(classifier, [tmp_path / "missing.aedat"])
