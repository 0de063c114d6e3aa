"""metaspec: an executable specification of gradient-based meta-learning.

MAML, FO-MAML, Reptile and iMAML, each written once against a small Backend protocol; NumPy, PyTorch, JAX and TensorFlow
compute the same meta-gradients, and a conformance suite proves it. SPEC.md is the normative text.
"""

from metaspec import errors
from metaspec.algorithms import FOMAML, IMAML, MAML, Reptile
from metaspec.api import adapt, batch_meta_gradient, compile, meta_gradient
from metaspec.arrays import array_namespace, asarray
from metaspec.capabilities import Capability
from metaspec.errors import MetaspecError
from metaspec.facade import install as _install_facades
from metaspec.inner import GradientDescent
from metaspec.protocol import Backend
from metaspec.registry import (
    BackendStatus,
    Registration,
    backend_context,
    get_backend,
    list_backends,
    set_backend,
)
from metaspec.solvers import ConjugateGradient, DenseSolve
from metaspec.task import Diagnostics, MetaGradient, Solution, SolveStatus, Task

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
    "Registration",
    "Reptile",
    "Solution",
    "SolveStatus",
    "Task",
    "adapt",
    "array_namespace",
    "asarray",
    "backend_context",
    "batch_meta_gradient",
    "compile",
    "errors",
    "get_backend",
    "list_backends",
    "meta_gradient",
    "set_backend",
]

_install_facades()
