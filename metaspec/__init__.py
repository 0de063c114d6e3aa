"""metaspec: an executable specification of gradient-based meta-learning.

MAML, FO-MAML, Reptile and iMAML, each written once against a small Backend protocol; NumPy, PyTorch, JAX and TensorFlow
compute the same meta-gradients, and a conformance suite proves it. SPEC.md is the normative text.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from metaspec import errors
from metaspec.algorithms import FOMAML, IMAML, MAML, Reptile
from metaspec.api import adapt, batch_meta_gradient, compile, meta_gradient
from metaspec.arrays import array_namespace, asarray
from metaspec.capabilities import Capability
from metaspec.choice import backend_context, get_backend, set_backend
from metaspec.errors import MetaspecError
from metaspec.facade import install as _install_facades
from metaspec.inner import GradientDescent
from metaspec.models import Model, from_model
from metaspec.protocol import Backend
from metaspec.registry import BackendStatus, Registration, list_backends
from metaspec.solvers import ConjugateGradient, DenseSolve
from metaspec.task import Diagnostics, MetaGradient, Solution, SolveStatus, Task

if TYPE_CHECKING:
    from metaspec import data, nn, training
    from metaspec.conformance.audit import assert_computes, audit
    from metaspec.conformance.compare import compare
    from metaspec.training import meta_test, meta_train

__version__ = "0.1.0"

__all__ = [
    "FOMAML",
    "IMAML",
    "MAML",
    "Backend",
    "BackendStatus",
    "Capability",
    "ConjugateGradient",
    "DenseSolve",
    "Diagnostics",
    "GradientDescent",
    "MetaGradient",
    "MetaspecError",
    "Model",
    "Registration",
    "Reptile",
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
    "compare",
    "compile",
    "data",
    "errors",
    "from_model",
    "get_backend",
    "list_backends",
    "meta_gradient",
    "meta_test",
    "meta_train",
    "nn",
    "set_backend",
    "training",
]

_LAZY = {  # imported on first use, so that `import metaspec` stays light
    "assert_computes": "metaspec.conformance.audit",
    "audit": "metaspec.conformance.audit",
    "compare": "metaspec.conformance.compare",
    "data": "metaspec.data",
    "nn": "metaspec.nn",
    "training": "metaspec.training",
    "meta_test": "metaspec.training",
    "meta_train": "metaspec.training",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _import_module(_LAZY[name])
    return module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)


_install_facades()
