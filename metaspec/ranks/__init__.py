"""Several processes that compute one meta-batch: their group, its means, and what happens where one of them fails."""

from metaspec.ranks.group import TIMEOUT, Distributed, RankGroup, ranks_for, together
from metaspec.ranks.sums import StoppedError, sum_over_ranks

__all__ = ["TIMEOUT", "Distributed", "RankGroup", "StoppedError", "ranks_for", "sum_over_ranks", "together"]
