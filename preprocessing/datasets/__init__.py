"""The data sets that can be built, by the name of their command."""

from __future__ import annotations

from preprocessing.datasets.base import Dataset, LeftOut, Listing, Source
from preprocessing.datasets.cifar10dvs import CIFAR10DVS
from preprocessing.datasets.digits import Digits
from preprocessing.datasets.folder import Folder
from preprocessing.datasets.nmnist import NMNIST

__all__ = ["CIFAR10DVS", "DATASETS", "NMNIST", "Dataset", "Digits", "Folder", "LeftOut", "Listing", "Source"]

DATASETS: dict[str, type[Dataset]] = {dataset.name: dataset for dataset in (CIFAR10DVS, Folder, NMNIST, Digits)}
