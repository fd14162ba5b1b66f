import json

import numpy as np
import onnx
import pytest
import torch
from conftest import SIDES, small_recipe, spot

from deploy.export import export
from deploy.infer import main
from deploy.runtime import Classifier
from evglif.checkpoint import read_checkpoint
from evglif.train import train
from preprocessing import read_recording
from preprocessing.build import build
from preprocessing.cache import FrameCache
from preprocessing.datasets.folder import Folder
from preprocessing.readers import aedat2, atis


def test_raw_recordings_get_the_checkpoints_probabilities(exported, run, recordings, cache_path):
    classifier, reference = Classifier(exported, threads=1), read_checkpoint(run / "best.pt").model
    with FrameCache(cache_path) as cache:
        for index in cache.indices("test"):
            with torch.no_grad():
                expected = reference(torch.from_numpy(cache[int(index)])[None]).softmax(1)[0]
            probabilities = classifier.predict(recordings / cache.source(int(index)))
            np.testing.assert_allclose(probabilities, expected, atol=1e-5)
            assert classifier.classes[probabilities.argmax()] == cache.classes[cache.labels[index]]


def test_path_events_and_frames_are_the_same_recording(exported, recordings):
    classifier, path = Classifier(exported), recordings / "test" / "left" / "0.aedat"
    expected = classifier.predict(path)
    np.testing.assert_array_equal(classifier.predict(read_recording(path).events), expected)
    frames = classifier.frames(path)
    np.testing.assert_array_equal(classifier.predict(frames[0]), expected)
    np.testing.assert_allclose(classifier.predict(np.concatenate([frames, frames])), [expected] * 2, atol=1e-6)
    assert expected.sum() == pytest.approx(1.0)


def test_long_recordings_are_cut_as_in_training(recordings, tmp_path):
    cache_path = tmp_path / "windows.h5"
    build(Folder(recordings, window="30ms"), cache_path, steps=2, size=(16, 16), workers=1)
    train(small_recipe(epochs=1), cache_path, tmp_path / "run", progress=False)
    path, _ = export(tmp_path / "run" / "last.pt")
    classifier = Classifier(path)
    recording = recordings / "test" / "right" / "1.aedat"
    assert len(classifier.frames(recording)) == 3
    single = np.stack([classifier.predict(frames) for frames in classifier.frames(recording)])
    np.testing.assert_allclose(classifier.predict(recording), single.mean(0), atol=1e-6)
    events = read_recording(recording).events[:20]
    with pytest.raises(ValueError, match=r"spans \d+ µs, the model was trained on windows of 30000 µs"):
        classifier.predict(events)


def test_recordings_are_filtered_and_valued_as_in_training(recordings, tmp_path):
    cache_path = tmp_path / "filtered.h5"
    options = {"filters": ["crop:10ms-90ms", "refractory:2ms"], "value": "binary", "slicing": "duration:20ms"}
    build(Folder(recordings), cache_path, steps=3, size=(16, 16), workers=1, **options)
    train(small_recipe(epochs=1), cache_path, tmp_path / "run", progress=False)
    path, _ = export(tmp_path / "run" / "last.pt")
    classifier = Classifier(path)
    with FrameCache(cache_path) as cache:
        for index in cache.indices("test"):
            frames = classifier.frames(recordings / cache.source(int(index)))
            np.testing.assert_array_equal(frames[0], cache[int(index)])
    few = read_recording(recordings / "test" / "right" / "1.aedat").events[:1]
    with pytest.raises(ValueError, match=r"no event passes the filters .*crop:10ms-90ms"):
        classifier.predict(few)


def test_unusable_recordings_are_named(exported, tmp_path):
    classifier = Classifier(exported)
    (tmp_path / "empty.aedat").write_bytes(b"")
    (tmp_path / "text.aedat").write_text("hello")
    whole = aedat2.encode(spot(np.random.default_rng(0), *SIDES["left"]))
    (tmp_path / "cut.aedat").write_bytes(whole[:-3])
    for name in ("empty", "text", "cut"):
        with pytest.raises(ValueError, match=rf"{name}\.aedat"):
            classifier.predict(tmp_path / f"{name}.aedat")
    with pytest.raises(FileNotFoundError, match=r"none\.aedat"):
        classifier.predict(tmp_path / "none.aedat")


def test_another_sensor_is_refused(exported, tmp_path):
    events = spot(np.random.default_rng(0), 130, 200)
    (tmp_path / "wide.bin").write_bytes(atis.encode(events))
    with pytest.raises(ValueError, match=r"wide\.bin.*outside the 128×128 sensor"):
        Classifier(exported).predict(tmp_path / "wide.bin")


def test_frames_of_another_shape_are_refused_with_both_shapes(exported):
    with pytest.raises(ValueError, match=r"\[B, \(3, 2, 16, 16\)\], got \(1, 4, 2, 16, 16\)"):
        Classifier(exported).predict(np.zeros((4, 2, 16, 16), np.float32))


def test_files_that_are_no_models_are_refused(exported, tmp_path):
    with pytest.raises(FileNotFoundError, match="no model at"):
        Classifier(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "cut.onnx").write_bytes(exported.read_bytes()[:5000])
    for name in ("text", "cut"):
        with pytest.raises(ValueError, match=rf"{name}\.onnx cannot be loaded as an ONNX model"):
            Classifier(tmp_path / f"{name}.onnx")
    proto = onnx.load(exported)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "bare.onnx")
    with pytest.raises(ValueError, match=r"bare\.onnx holds no description by evglif"):
        Classifier(tmp_path / "bare.onnx")


@pytest.mark.parametrize(
    ("change", "message"), [({"version": 9}, "version 9, this package reads 1"), ({"size": None}, "damaged")]
)
def test_a_description_that_cannot_be_read_is_refused(exported, tmp_path, change, message):
    proto = onnx.load(exported)
    (entry,) = proto.metadata_props
    entry.value = json.dumps({**json.loads(entry.value), **change})
    onnx.save(proto, tmp_path / "other.onnx")
    with pytest.raises(ValueError, match=message):
        Classifier(tmp_path / "other.onnx")


def test_the_command_classifies_several_and_goes_on_after_a_bad_one(exported, recordings, tmp_path, capsys):
    left, right = recordings / "test" / "left" / "0.aedat", recordings / "test" / "right" / "0.aedat"
    assert main([str(exported), str(left), str(right)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["left", "right"]
    (tmp_path / "bad.aedat").write_bytes(b"")
    assert main([str(exported), str(tmp_path / "bad.aedat"), str(left), "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["label"] == "left"
    assert "bad.aedat" in printed.err
    assert main([str(tmp_path / "none.onnx"), str(left)]) == 1
    assert "no model at" in capsys.readouterr().err
