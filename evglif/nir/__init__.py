"""NIR files of any program as networks of this package: ``load_nir(path)``."""

from typing import TYPE_CHECKING

from preprocessing.later import later

if TYPE_CHECKING:
    from evglif.nir.load import Imported, load_nir, read_nir

__all__ = ["Imported", "load_nir", "read_nir"]

__getattr__ = later(__name__, dict.fromkeys(__all__, "evglif.nir.load"))
