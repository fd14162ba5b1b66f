"""What can be set of a training: typed values with their ranges, apart from the code that follows them.

They import nothing else, so that a command can explain them without waiting for torch.
"""

from evglif.settings.augment import AugmentConfig
from evglif.settings.loader import LoaderConfig
from evglif.settings.loss import LossConfig
from evglif.settings.machine import ACCELERATORS, LOGS
from evglif.settings.optim import OptimConfig
from evglif.settings.recipe import PRECISIONS, Recipe

__all__ = ["ACCELERATORS", "LOGS", "PRECISIONS", "AugmentConfig", "LoaderConfig", "LossConfig", "OptimConfig", "Recipe"]
