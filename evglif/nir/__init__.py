"""NIR files of any program as networks of this package: ``load_nir(path)``."""

from evglif.nir.load import Imported, load_nir, read_nir

__all__ = ["Imported", "load_nir", "read_nir"]
