"""The functions that a user calls: meta-gradients, adaptation, compilation."""

from metaspec.api.compilation import Tier, compile
from metaspec.api.meta_gradients import UserLoss, adapt, batch_meta_gradient, meta_gradient
from metaspec.api.rule_states import initial_state

__all__ = ["Tier", "UserLoss", "adapt", "batch_meta_gradient", "compile", "initial_state", "meta_gradient"]
