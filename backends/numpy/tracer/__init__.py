"""Derivatives, batching and recording for arrays of any array-API namespace.

`jvp`, `vjp` and `vmap` take functions of arrays and nest in any order; `record` turns a function into a straight-line
program. `core` has the machinery, `rules` the tables, `functions` what is composed of primitives.
"""

from metaspec.backends.numpy.tracer.batching import vmap
from metaspec.backends.numpy.tracer.core import PRIMITIVES, Box, Primitive, is_concrete
from metaspec.backends.numpy.tracer.forward import jvp
from metaspec.backends.numpy.tracer.namespace import array_namespace, namespace
from metaspec.backends.numpy.tracer.operators import install
from metaspec.backends.numpy.tracer.program import Program
from metaspec.backends.numpy.tracer.recording import record
from metaspec.backends.numpy.tracer.reverse import vjp
from metaspec.backends.numpy.tracer.rules.elementwise import stop_gradient

install()

__all__ = [
    "PRIMITIVES",
    "Box",
    "Primitive",
    "Program",
    "array_namespace",
    "is_concrete",
    "jvp",
    "namespace",
    "record",
    "stop_gradient",
    "vjp",
    "vmap",
]
