import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from evglif.checkpoint import Checkpoint
from evglif.data import (
    DeviceFrames,
    FrameDataset,
    FrameLoader,
    HostFrames,
    LoaderConfig,
    check_checkpoint,
    check_fit,
    data_spec,
    frame_loader,
    to_frames,
)
from evglif.models import spec_from_dict
from evglif.recipe import Recipe, model_spec
from preprocessing.cache import FrameCache


@pytest.fixture
def cache(cache_path):
    with FrameCache(cache_path) as opened:
        yield opened


def test_a_batch_holds_the_samples_it_was_asked_for(cache):
    dataset = FrameDataset(cache, cache.indices("test"))
    stored, labels = dataset.__getitems__([5, 0])
    for row, index in enumerate((cache.indices("test")[5], cache.indices("test")[0])):
        frames = to_frames(stored[row], cache.scale)
        torch.testing.assert_close(frames, torch.from_numpy(cache[index]))
        assert labels[row] == cache.labels[index]
    assert (stored.dtype, labels.dtype) == (torch.uint16, torch.int64)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_threads_read_what_is_asked_for_in_its_order(cache, workers):
    dataset = FrameDataset(cache, cache.indices("train"))
    rows = np.array_split(np.random.default_rng(0).permutation(len(dataset)), 7)
    loader = FrameLoader(dataset, rows, workers)
    assert len(loader) == 7
    for _ in range(2):
        for each, (stored, labels) in zip(rows, loader, strict=True):
            expected, of_them = dataset.__getitems__(each)
            assert torch.equal(stored, expected)
            assert torch.equal(labels, of_them)


def test_a_loader_may_be_left_before_its_end(cache):
    batches = iter(frame_loader(FrameDataset(cache, cache.indices("train")), LoaderConfig(4, workers=2)))
    next(batches)
    batches.close()


def test_an_error_of_a_reading_thread_is_raised_where_the_batch_is_asked_for(cache):
    rows = [np.array([0]), np.array([10_000])]
    batches = iter(FrameLoader(FrameDataset(cache, cache.indices("train")), rows, workers=1))
    next(batches)
    with pytest.raises(IndexError, match="10000"):
        next(batches)


def test_frames_on_the_device_are_those_of_the_file(cache):
    dataset = FrameDataset(cache, cache.indices("train"))
    rows = [np.array([3, 0, 31]), np.array([5])]
    device = torch.device("cpu")
    pairs = zip(DeviceFrames(dataset, device).batches(rows), HostFrames(dataset, device, 1).batches(rows), strict=True)
    for (stored, labels), (expected, of_them) in pairs:
        assert stored.dtype == expected.dtype == torch.uint16
        assert torch.equal(stored, expected)
        assert torch.equal(labels, of_them)


def test_a_dataset_survives_pickling(cache):
    dataset = FrameDataset(cache, cache.indices("test"))
    dataset[0]
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[3][0], dataset[3][0])


def test_a_model_that_does_not_fit_is_refused_with_both_numbers(cache):
    fits = {"name": "7b-widenet", "num_classes": 2, "steps": 3, "size": (16, 16)}
    check_fit(cache, spec_from_dict(fits), ("left", "right"))
    for options, message in (
        ({"steps": 4}, "time steps T: the model has 4, the data in .* have 3"),
        ({"size": (16, 24)}, "frame size: the model has 16×24, .* have 16×16"),
        ({"num_classes": 10}, "classes: the model has 10, .* have 2"),
        ({"in_channels": 3}, "channels of a frame: the model has 3, .* have 2"),
        ({"encoder": "direct"}, "kind of input: the model has images, .* have events"),
    ):
        with pytest.raises(ValueError, match=message):
            check_fit(cache, spec_from_dict({**fits, **options}))
    with pytest.raises(ValueError, match=r"class names: the model has \('right', 'left'\)"):
        check_fit(cache, spec_from_dict(fits), ("right", "left"))


def test_another_edition_of_a_data_set_is_refused(cache):
    """Also one that was found, not asked for: a file says which it is of."""
    model = SimpleNamespace(spec=spec_from_dict({"name": "7b-widenet", "num_classes": 2, "steps": 3, "size": (16, 16)}))

    def of(edition):
        names = (
            "kind",
            "classes",
            "channels",
            "steps",
            "size",
            "path",
            "scale",
            "sensor",
            "sensor_from",
            "sensor_of",
            "fingerprint",
        )
        config = {**cache.config, "options": {"edition": edition}}
        return SimpleNamespace(**{name: getattr(cache, name) for name in names}, config=config)

    for trained, judged in (("original", "original"), ("aedat4", "aedat4"), (None, "aedat4"), ("original", None)):
        check_checkpoint(of(judged), Checkpoint(model, data_spec(of(trained)), {}))
    with pytest.raises(ValueError, match=r"edition aedat4 here, original there\. .*--accept edition if this is meant"):
        check_checkpoint(of("aedat4"), Checkpoint(model, data_spec(of("original")), {}))


def test_a_network_for_images_takes_their_channels_and_statistics_and_its_own_time():
    images = SimpleNamespace(path="a.h5", kind="images", classes=("cat", "dog"), channels=3, size=(32, 32), steps=1)
    images.mean, images.std = (0.5, 0.4, 0.3), (0.2, 0.2, 0.1)
    spec = model_spec(Recipe(model={"name": "7b-widenet"}), images)
    assert (spec.encoder, spec.steps, spec.in_channels) == ("direct", 4, 3)
    assert (spec.mean, spec.std, spec.size, spec.num_classes) == (images.mean, images.std, (32, 32), 2)
    assert model_spec(Recipe(model={"name": "resnet19"}), images).steps == 6
    own = {"name": "resnet19", "steps": 2, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    assert model_spec(Recipe(model=own), images).std == (1.0, 1.0, 1.0)
    poisson = model_spec(Recipe(model={"name": "7b-widenet", "encoder": "poisson"}), images)
    assert (poisson.encoder, poisson.mean) == ("poisson", ())
    with pytest.raises(ValueError, match=r"kind of input: the model has events, the data in a\.h5 have images"):
        model_spec(Recipe(model={"name": "7b-widenet", "encoder": "frames"}), images)


def test_the_data_are_described_for_deployment(cache):
    spec = data_spec(cache)
    assert (spec.classes, spec.scale, spec.sensor) == (("left", "right"), cache.scale, (128, 128))
    assert spec.preprocessing["slicing"] == "count"


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"workers": -1}, {"validation": 1.0}])
def test_wrong_values_are_refused(options):
    with pytest.raises(ValueError, match=str(next(iter(options.values())))):
        LoaderConfig(**options)
