import pytest

from evglif.normalisation import STATISTICS
from preprocessing.build import build
from preprocessing.cache import FrameCache
from preprocessing.datasets import DATASETS, Pictures


def test_every_image_set_with_a_command_of_its_own_has_them():
    assert set(STATISTICS) == {name for name, kind in DATASETS.items() if kind.kind == "images"} - {"pictures"}


@pytest.mark.parametrize("name", STATISTICS)
def test_values_are_those_of_pixels_from_0_to_1(name):
    mean, std, source = STATISTICS[name]
    assert len(mean) == len(std) == (1 if "mnist" in name else 3)
    assert all(0 < m < 1 and 0 < s <= (m * (1 - m)) ** 0.5 for m, s in zip(mean, std, strict=True))
    assert source


def test_those_of_cifar10_are_found_in_a_part_of_it(shared_data, tmp_path):
    build(Pictures(shared_data / "cifar10_10k.npz"), tmp_path / "part.h5", limit=1000, workers=1)
    cache = FrameCache(tmp_path / "part.h5")
    assert cache.mean == pytest.approx(STATISTICS["cifar10"].mean, abs=0.03)
    assert cache.std == pytest.approx(STATISTICS["cifar10"].std, abs=0.015)
