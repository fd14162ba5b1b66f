"""The data sets that can be built, by the name of their command."""

from __future__ import annotations

from preprocessing.datasets.base import Dataset, Listing, Source
from preprocessing.datasets.recordings.cifar10dvs import CIFAR10DVS
from preprocessing.datasets.recordings.dvs128gesture import DVS128Gesture
from preprocessing.datasets.recordings.folder import Folder
from preprocessing.datasets.recordings.ncaltech101 import NCALTECH101
from preprocessing.datasets.recordings.ncars import NCars
from preprocessing.datasets.recordings.nmnist import NMNIST
from preprocessing.datasets.recordings.tonic_sets import Tonic
from preprocessing.datasets.simulated.digits import Digits
from preprocessing.datasets.simulated.images import Images
from preprocessing.datasets.stills.cifar import CIFAR10, CIFAR100
from preprocessing.datasets.stills.imagenet import ImageNet
from preprocessing.datasets.stills.mnist import MNIST, FashionMNIST
from preprocessing.datasets.stills.pictures import Pictures

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
    "Listing",
    "NCars",
    "Pictures",
    "Source",
    "Tonic",
]

_OF_EVENTS = (CIFAR10DVS, DVS128Gesture, NMNIST, NCALTECH101, NCars, Folder, Tonic, Images, Digits)
_OF_IMAGES = (MNIST, FashionMNIST, CIFAR10, CIFAR100, ImageNet, Pictures)

DATASETS: dict[str, type[Dataset]] = {dataset.name: dataset for dataset in (*_OF_EVENTS, *_OF_IMAGES)}
