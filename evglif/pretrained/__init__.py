"""Weights as a product: folders of safetensors with a card, from the disk, the zoo of the package or a hub."""

from evglif.pretrained.folder import save_pretrained
from evglif.pretrained.sources import file_beside, from_pretrained, read_weights

__all__ = ["file_beside", "from_pretrained", "read_weights", "save_pretrained"]
