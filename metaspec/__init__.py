"""metaspec: an executable specification of gradient-based meta-learning.

MAML, FO-MAML, Reptile and iMAML, each written once against a small Backend protocol; NumPy, PyTorch, JAX and TensorFlow
compute the same meta-gradients, and a conformance suite proves it. SPEC.md is the normative text.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from metaspec import errors
from metaspec.algorithms import (
    ANIL,
    BOIL,
    CAVIA,
    FOMAML,
    IMAML,
    MAML,
    MAMLPlusPlus,
    MetaSGD,
    Minibatches,
    Reptile,
    SigmaIMAML,
    SigmaMAML,
    SigmaReptile,
    multi_step_weights,
)
from metaspec.api import adapt, batch_meta_gradient, compile, initial_state, meta_gradient
from metaspec.backend.arrays import array_namespace, asarray
from metaspec.backend.bound_modules import install as _install_bound_modules
from metaspec.backend.capabilities import Capability
from metaspec.backend.protocol import Backend
from metaspec.backend.registry import BackendStatus, Registration, list_backends
from metaspec.backend.selection import backend_context, get_backend, set_backend
from metaspec.errors import MetaspecError
from metaspec.inner import (
    Adadelta,
    AdaGrad,
    Adam,
    FromTransformation,
    GradientDescent,
    Learned,
    Meta,
    MetaCurvature,
    Momentum,
    Proximal,
    RMSProp,
    RuleState,
    Sigma,
    clip_by_norm,
    clip_by_value,
    decay_weights,
)
from metaspec.losses.from_model import Model, from_model
from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.solvers.dense_solve import DenseSolve
from metaspec.task import Diagnostics, MetaGradient, Solution, SolveStatus, Task

if TYPE_CHECKING:
    from metaspec import data, nn, training
    from metaspec.losses.check import check_loss
    from metaspec.training import meta_test, meta_train
    from metaspec_conformance.audit import assert_computes, audit
    from metaspec_conformance.compare import compare

__version__ = "0.1.0"

__all__ = [
    "ANIL",
    "BOIL",
    "CAVIA",
    "FOMAML",
    "IMAML",
    "MAML",
    "AdaGrad",
    "Adadelta",
    "Adam",
    "Backend",
    "BackendStatus",
    "Capability",
    "ConjugateGradient",
    "DenseSolve",
    "Diagnostics",
    "FromTransformation",
    "GradientDescent",
    "Learned",
    "MAMLPlusPlus",
    "Meta",
    "MetaCurvature",
    "MetaGradient",
    "MetaSGD",
    "MetaspecError",
    "Minibatches",
    "Model",
    "Momentum",
    "Proximal",
    "RMSProp",
    "Registration",
    "Reptile",
    "RuleState",
    "Sigma",
    "SigmaIMAML",
    "SigmaMAML",
    "SigmaReptile",
    "Solution",
    "SolveStatus",
    "Task",
    "adapt",
    "array_namespace",
    "asarray",
    "assert_computes",
    "audit",
    "backend_context",
    "batch_meta_gradient",
    "check_loss",
    "clip_by_norm",
    "clip_by_value",
    "compare",
    "compile",
    "data",
    "decay_weights",
    "errors",
    "from_model",
    "get_backend",
    "initial_state",
    "list_backends",
    "meta_gradient",
    "meta_test",
    "meta_train",
    "multi_step_weights",
    "nn",
    "set_backend",
    "training",
]

_LAZY = {  # imported on first use, so that `import metaspec` stays light
    "assert_computes": "metaspec_conformance.audit",
    "audit": "metaspec_conformance.audit",
    "check_loss": "metaspec.losses.check",
    "compare": "metaspec_conformance.compare",
    "data": "metaspec.data",
    "nn": "metaspec.nn",
    "training": "metaspec.training",
    "meta_test": "metaspec.training",
    "meta_train": "metaspec.training",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{errors.nearest(name, __all__)}")
    module = _import_module(_LAZY[name])
    return module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_install_bound_modules()
