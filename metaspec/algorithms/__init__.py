"""The meta-learning algorithms, one file each, its formula at the top."""

from metaspec.algorithms.fomaml import FOMAML
from metaspec.algorithms.imaml import IMAML
from metaspec.algorithms.maml import MAML
from metaspec.algorithms.reptile import Reptile

__all__ = ["FOMAML", "IMAML", "MAML", "Reptile"]
