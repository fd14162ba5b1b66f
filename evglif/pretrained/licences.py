"""What the makers of data sets ask of those who use them, as far as it was looked up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Licence:
    """The terms of a data set.

    Attributes:
        identifier: as model hubs write it, e.g. ``"cc-by-4.0"``.
        data: its name.
        credit: whom to name, and the paper.
        source: where its makers state the terms.
        asks: what they mean for weights that were learnt from it.
    """

    identifier: str
    data: str
    credit: str
    source: str
    asks: str


_NAMED = "Name the makers; say what was changed."
_ALIKE = (
    "Name the makers, say what was changed, and pass on what is made of it under the same licence. Whether weights are "
    "made of the data in that sense is not settled; these are shared as if they were."
)

LICENCES: dict[str, Licence] = {
    "digits": Licence(
        "cc-by-4.0",
        "Optical Recognition of Handwritten Digits, the test images, as scikit-learn ships them, in front of a "
        "simulated event camera",
        "E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998",
        "https://archive.ics.uci.edu/dataset/80",
        _NAMED,
    ),
    "nmnist": Licence(
        "cc-by-sa-4.0",
        "N-MNIST, derived from MNIST (Y. LeCun and C. Cortes, CC BY-SA 3.0)",
        "G. Orchard, A. Jayawant, G. K. Cohen and N. Thakor, Frontiers in Neuroscience 9:437, 2015",
        "https://www.garrickorchard.com/datasets/n-mnist",
        _ALIKE,
    ),
    "dvs128gesture": Licence(
        "cc-by-4.0",
        "DVS128 Gesture",
        "A. Amir et al., CVPR 2017",
        "https://research.ibm.com/interactive/dvsgesture/",
        _NAMED,
    ),
}
"""Name of a data set's command → its terms. Of others nothing is claimed."""
