import pytest
import yaml

from evglif.choosing import PAPERS, choose_recipe
from evglif.recipe import Recipe, model_spec, read_recipe, recipe_names
from evglif.train import _folder_of_the_day


class Cache:
    """As much of a cache as a choice looks at."""

    path = "a.h5"
    mean = std = (0.5,)

    def __init__(self, kind="events", channels=2, steps=16, size=(32, 32), num_classes=4, num=400):
        self.kind, self.channels, self.steps, self.size = kind, channels, steps, size
        self.classes, self.num = tuple(map(str, range(num_classes))), num
        self.mean = self.std = (0.5,) * channels

    def indices(self, split):
        return range(self.num if split == "train" else 0)


@pytest.mark.parametrize(
    ("cache", "gpu", "name"),
    [
        (Cache(size=(16, 16), steps=4), False, "digits"),
        (Cache(size=(17, 17)), False, "nmnist-small"),
        (Cache(size=(32, 32)), False, "folder"),
        (Cache(size=(48, 48), num_classes=10, num=9000), False, "folder"),
        (Cache(size=(48, 48), num_classes=10, num=9000), True, "cifar10dvs"),
        (Cache(size=(48, 48), num_classes=10, num=90), True, "folder"),
        (Cache("images", 3, 1, (32, 32), 10, 50_000), False, "cifar10-small"),
        (Cache("images", 3, 1, (32, 32), 100, 50_000), True, "cifar100"),
        (Cache("images", 1, 1, (28, 28), 10, 60_000), True, "mnist"),
    ],
)
def test_a_recipe_fits_the_data_and_the_machine(cache, gpu, name):
    choice = choose_recipe(cache, gpu)
    assert choice.name == name
    assert model_spec(read_recipe(name), cache).num_classes == len(cache.classes)
    assert ("a GPU" in choice.reason) == gpu


def test_few_samples_get_small_batches_so_that_an_epoch_has_steps():
    assert ("loader.batch_size", "4") in choose_recipe(Cache(num=20), False).options
    assert not [name for name, _ in choose_recipe(Cache(num=64), False).options if name == "loader.batch_size"]


def test_nothing_is_mirrored_that_may_then_be_another_class():
    assert ("augment.flip", "false") in choose_recipe(Cache(), False).options
    assert ("augment.flip", "false") in choose_recipe(Cache("images", 1, 1, (28, 28), 10), False).options


def test_frames_that_no_network_takes_say_how_to_build_them():
    with pytest.raises(ValueError, match=r"frames of 8×8 px are smaller .* build them with --size 16 or more"):
        choose_recipe(Cache(size=(8, 8)), False)


def test_every_recipe_that_can_be_chosen_is_there():
    assert {name for name, *_ in PAPERS} <= set(recipe_names())
    assert isinstance(yaml.safe_load("a: 1"), dict)
    assert Recipe().epochs == 200


def test_several_processes_are_told_to_name_their_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder = _folder_of_the_day(tmp_path / "mine.h5", None, None)
    folder.mkdir(parents=True)
    assert folder.name.startswith("mine-20")
    assert _folder_of_the_day(tmp_path / "mine.h5", None, None).name == f"{folder.name}-2"
    with pytest.raises(ValueError, match="--out must be given where several processes train"):
        _folder_of_the_day(tmp_path / "mine.h5", 2, None)
