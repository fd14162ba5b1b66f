"""The data sets that can be built, by the name of their command."""

from __future__ import annotations

from preprocessing.datasets.base import Dataset, LeftOut, Listing, Source
from preprocessing.datasets.cifar import CIFAR10, CIFAR100
from preprocessing.datasets.cifar10dvs import CIFAR10DVS
from preprocessing.datasets.digits import Digits
from preprocessing.datasets.dvs128gesture import DVS128Gesture
from preprocessing.datasets.folder import Folder
from preprocessing.datasets.imagenet import ImageNet
from preprocessing.datasets.images import Images
from preprocessing.datasets.mnist import MNIST, FashionMNIST
from preprocessing.datasets.ncaltech101 import NCALTECH101
from preprocessing.datasets.ncars import NCars
from preprocessing.datasets.nmnist import NMNIST
from preprocessing.datasets.still_pictures import Pictures
from preprocessing.datasets.tonic_sets import Tonic

__all__ = [
    "CIFAR10",
    "CIFAR10DVS",
    "CIFAR100",
    "DATASETS",
    "MNIST",
    "NCALTECH101",
    "NMNIST",
    "DVS128Gesture",
    "Dataset",
    "Digits",
    "FashionMNIST",
    "Folder",
    "ImageNet",
    "Images",
    "LeftOut",
    "Listing",
    "NCars",
    "Pictures",
    "Source",
    "Tonic",
]

_OF_EVENTS = (CIFAR10DVS, DVS128Gesture, NMNIST, NCALTECH101, NCars, Folder, Tonic, Images, Digits)
_OF_IMAGES = (MNIST, FashionMNIST, CIFAR10, CIFAR100, ImageNet, Pictures)

DATASETS: dict[str, type[Dataset]] = {dataset.name: dataset for dataset in (*_OF_EVENTS, *_OF_IMAGES)}
