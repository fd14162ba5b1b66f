"""The data sets that can be built, by the name of their command."""

from __future__ import annotations

from preprocessing.datasets.base import Dataset, LeftOut, Listing, Source
from preprocessing.datasets.cifar10dvs import CIFAR10DVS
from preprocessing.datasets.digits import Digits
from preprocessing.datasets.dvs128gesture import DVS128Gesture
from preprocessing.datasets.folder import Folder
from preprocessing.datasets.images import Images
from preprocessing.datasets.ncaltech101 import NCALTECH101
from preprocessing.datasets.ncars import NCars
from preprocessing.datasets.nmnist import NMNIST
from preprocessing.datasets.tonic_sets import Tonic

__all__ = [
    "CIFAR10DVS",
    "DATASETS",
    "NCALTECH101",
    "NMNIST",
    "DVS128Gesture",
    "Dataset",
    "Digits",
    "Folder",
    "Images",
    "LeftOut",
    "Listing",
    "NCars",
    "Source",
    "Tonic",
]

DATASETS: dict[str, type[Dataset]] = {
    dataset.name: dataset
    for dataset in (CIFAR10DVS, DVS128Gesture, NMNIST, NCALTECH101, NCars, Folder, Tonic, Images, Digits)
}
