"""Inner rules: how a task's parameters are updated."""

from metaspec.inner.adaptive import Adadelta, AdaGrad, Adam, RMSProp
from metaspec.inner.continued import RuleState
from metaspec.inner.from_library import FromTransformation
from metaspec.inner.gradient_descent import GradientDescent
from metaspec.inner.learned import Learned, Meta
from metaspec.inner.meta_curvature import MetaCurvature
from metaspec.inner.momentum import Momentum
from metaspec.inner.proximal import Proximal, Sigma
from metaspec.inner.transforms import clip_by_norm, clip_by_value, decay_weights

__all__ = [
    "AdaGrad",
    "Adadelta",
    "Adam",
    "FromTransformation",
    "GradientDescent",
    "Learned",
    "Meta",
    "MetaCurvature",
    "Momentum",
    "Proximal",
    "RMSProp",
    "RuleState",
    "Sigma",
    "clip_by_norm",
    "clip_by_value",
    "decay_weights",
]
