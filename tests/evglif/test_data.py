import pickle

import numpy as np
import pytest
import torch

from evglif.data import FrameDataset, LoaderConfig, check_fit, cut_validation, data_spec, frame_loader, to_frames
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


def test_an_epoch_shows_every_sample_once_in_an_order_of_the_seed(cache):
    dataset = FrameDataset(cache, cache.indices("train"))
    loader = frame_loader(dataset, LoaderConfig(batch_size=5), shuffle=True)

    def epoch(seed):
        torch.manual_seed(seed)
        return torch.cat([stored.to(torch.int64).sum((1, 2, 3, 4)) for stored, _ in loader])

    first = epoch(1)
    assert len(first) == len(dataset) == 32
    assert torch.equal(first, epoch(1))
    assert not torch.equal(first, epoch(2))
    assert torch.equal(first.sort().values, epoch(2).sort().values)


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_processes_read_the_same(cache, workers):
    dataset = FrameDataset(cache, cache.indices("test"))
    frames = torch.cat([stored for stored, _ in frame_loader(dataset, LoaderConfig(3, workers))])
    assert torch.equal(frames, torch.from_numpy(cache.stored(cache.indices("test"))))


def test_a_dataset_survives_pickling(cache):
    dataset = FrameDataset(cache, cache.indices("test"))
    dataset[0]
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[3][0], dataset[3][0])


def test_validation_is_cut_from_every_class_by_the_seed():
    labels = np.repeat([0, 1, 2], [20, 40, 3])
    kept, cut = cut_validation(labels, np.arange(63), 0.25, seed=0)
    assert np.bincount(labels[cut], minlength=3).tolist() == [5, 10, 0]
    assert np.array_equal(np.sort(np.concatenate([kept, cut])), np.arange(63))
    assert np.array_equal(cut, cut_validation(labels, np.arange(63), 0.25, seed=0)[1])
    assert not np.array_equal(cut, cut_validation(labels, np.arange(63), 0.25, seed=1)[1])


def test_a_model_that_does_not_fit_is_refused_with_both_numbers(cache):
    check_fit(cache, 3, (16, 16), ("left", "right"))
    for arguments, message in (
        ((4, (16, 16), 2), "time steps T: the model has 4, the data in .* have 3"),
        ((3, (16, 24), 2), "frame size: the model has 16×24, .* have 16×16"),
        ((3, (16, 16), 10), "classes: the model has 10, .* have 2"),
        ((3, (16, 16), ("right", "left")), r"class names: the model has \('right', 'left'\)"),
    ):
        with pytest.raises(ValueError, match=message):
            check_fit(cache, *arguments)


def test_the_data_are_described_for_deployment(cache):
    spec = data_spec(cache)
    assert (spec.classes, spec.scale, spec.sensor) == (("left", "right"), cache.scale, (128, 128))
    assert spec.preprocessing["slicing"] == "count"


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"workers": -1}, {"validation": 1.0}])
def test_wrong_values_are_refused(options):
    with pytest.raises(ValueError, match=str(next(iter(options.values())))):
        LoaderConfig(**options)
