"""The meta-learning algorithms, one file each, its formula at the top."""

from metaspec.algorithms.fomaml import FOMAML
from metaspec.algorithms.imaml import IMAML
from metaspec.algorithms.maml import MAML
from metaspec.algorithms.minibatches import Minibatches
from metaspec.algorithms.named import (
    ANIL,
    BOIL,
    CAVIA,
    MAMLPlusPlus,
    MetaSGD,
    SigmaIMAML,
    SigmaMAML,
    multi_step_weights,
)
from metaspec.algorithms.reptile import Reptile
from metaspec.algorithms.sigma_reptile import SigmaReptile

__all__ = [
    "ANIL",
    "BOIL",
    "CAVIA",
    "FOMAML",
    "IMAML",
    "MAML",
    "MAMLPlusPlus",
    "MetaSGD",
    "Minibatches",
    "Reptile",
    "SigmaIMAML",
    "SigmaMAML",
    "SigmaReptile",
    "multi_step_weights",
]
