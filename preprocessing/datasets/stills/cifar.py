"""CIFAR-10 and CIFAR-100: 60,000 colour pictures of 32×32 px (Krizhevsky 2009)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from preprocessing.datasets.base import Listing, option
from preprocessing.datasets.recordings.cifar10dvs import CLASSES
from preprocessing.datasets.stills.base import StaticImages, array_sources
from preprocessing.datasets.stills.cifar_batches import Edition, find_edition, read_edition
from preprocessing.datasets.stills.labelled_images import LabelledImages
from preprocessing.download import RemoteFile

_FINE = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle "
    "caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant "
    "flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man "
    "maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree "
    "plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper "
    "snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train "
    "trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)
FINE = tuple(_FINE.split())
"""The hundred classes of CIFAR-100, in the order of their labels."""

_COARSE = (
    "aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices "
    "household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes "
    "large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees "
    "vehicles_1 vehicles_2"
)
COARSE = tuple(_COARSE.split())
"""The twenty groups of these, in the order of their labels."""

LABELS = {"fine": FINE, "coarse": COARSE}

_TORONTO = "https://www.cs.toronto.edu/~kriz"
_TEN = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")

EDITIONS_10 = (
    Edition("cifar-10-batches-py", "cifar-10-python.tar.gz", _TEN, "test_batch", "labels"),
    Edition("cifar-10-batches-bin", "cifar-10-binary.tar.gz", tuple(f"{n}.bin" for n in _TEN), "test_batch.bin", 0),
)


def _editions_100(labels: str, place: int) -> tuple[Edition, ...]:
    return (
        Edition("cifar-100-python", "cifar-100-python.tar.gz", ("train",), "test", labels),
        Edition("cifar-100-binary", "cifar-100-binary.tar.gz", ("train.bin",), "test.bin", place, num_labels=2),
    )


EDITIONS_100 = {"fine": _editions_100("fine_labels", 1), "coarse": _editions_100("coarse_labels", 0)}

_ROOT = "folder with {0}-python.tar.gz or {0}-binary.tar.gz, read in place, or with what they hold"


@dataclass(frozen=True)
class CIFAR10(StaticImages):
    """CIFAR-10: 50,000 training and 10,000 test images of ten classes, in colour, 32×32 px."""

    name: ClassVar[str] = "cifar10"
    example: ClassVar[str] = "--root data/cifar10 --download"
    root: Path = field(default=Path("data/cifar10"), metadata=option(_ROOT.format("cifar-10"), Path))

    def remote_files(self) -> tuple[RemoteFile, ...]:
        """See ``Dataset.remote_files``; the binary edition."""
        name = "cifar-10-binary.tar.gz"
        return (RemoteFile(name, f"{_TORONTO}/{name}", 170_052_171, md5="c32a1d4ab5d03f1284b67883e8d87530"),)

    def listing(self) -> Listing:
        """See ``Dataset.listing``.

        Raises:
            RecordingError: a file or archive is not what its name says; it is named.
        """
        return _listing(self, EDITIONS_10, read_cifar10)


@dataclass(frozen=True)
class CIFAR100(StaticImages):
    """CIFAR-100: 50,000 training and 10,000 test images of a hundred classes, in colour, 32×32 px."""

    name: ClassVar[str] = "cifar100"
    example: ClassVar[str] = "--root data/cifar100 --labels fine --download"
    root: Path = field(default=Path("data/cifar100"), metadata=option(_ROOT.format("cifar-100"), Path))
    labels: str = field(
        default="fine", metadata=option("fine: a hundred classes; coarse: their twenty groups", choices=tuple(LABELS))
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labels not in LABELS:
            raise ValueError(f"unknown labels {self.labels!r}; choose fine or coarse")

    def remote_files(self) -> tuple[RemoteFile, ...]:
        """See ``Dataset.remote_files``; the binary edition."""
        name = "cifar-100-binary.tar.gz"
        return (RemoteFile(name, f"{_TORONTO}/{name}", 168_513_733, md5="03b5dce01913d631647c71ecec9e9cb8"),)

    def listing(self) -> Listing:
        """See ``Dataset.listing``.

        Raises:
            RecordingError: a file or archive is not what its name says; it is named.
        """
        load = read_cifar100 if self.labels == "fine" else read_cifar100_coarse
        return _listing(self, EDITIONS_100[self.labels], load)


def _listing(dataset: StaticImages, editions: tuple[Edition, ...], load: Callable[[Path], LabelledImages]) -> Listing:
    if not find_edition(dataset.root, editions):
        names = [name for edition in editions for name in (edition.archive, f"{edition.folder}/")]
        raise dataset.not_there(f"one of {', '.join(names)}")
    labelled, sources = array_sources(load, dataset.root)
    return Listing(labelled.classes, tuple(sources), pictures=dataset.settings_for(labelled.images))


def read_cifar10(root: Path) -> LabelledImages:
    """The images of CIFAR-10 in a folder, training ones first."""
    return read_edition(root, EDITIONS_10, CLASSES)


def read_cifar100(root: Path) -> LabelledImages:
    """The images of CIFAR-100 in a folder with their fine labels, training ones first."""
    return read_edition(root, EDITIONS_100["fine"], FINE)


def read_cifar100_coarse(root: Path) -> LabelledImages:
    """The images of CIFAR-100 in a folder with their coarse labels, training ones first."""
    return read_edition(root, EDITIONS_100["coarse"], COARSE)
