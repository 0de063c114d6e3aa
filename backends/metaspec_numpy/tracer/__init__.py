"""Derivatives, batching and recording for arrays of any array-API namespace.

`jvp`, `vjp` and `vmap` take functions of arrays and nest in any order; `record` turns a function into a straight-line
program. `core` has the machinery, `rules` the tables, `functions` what is composed of primitives.
"""

from metaspec_numpy.tracer.batching import vmap
from metaspec_numpy.tracer.core import PRIMITIVES, Box, Primitive, is_concrete
from metaspec_numpy.tracer.forward import jvp
from metaspec_numpy.tracer.functions.elementwise_functions import stop_gradient
from metaspec_numpy.tracer.namespace import array_namespace, namespace
from metaspec_numpy.tracer.operators import install
from metaspec_numpy.tracer.program import Program
from metaspec_numpy.tracer.recording import computed_anew, record, recording
from metaspec_numpy.tracer.reverse import vjp
from metaspec_numpy.tracer.rounding import perturbed

install()

__all__ = [
    "PRIMITIVES",
    "Box",
    "Primitive",
    "Program",
    "array_namespace",
    "computed_anew",
    "is_concrete",
    "jvp",
    "namespace",
    "perturbed",
    "record",
    "recording",
    "stop_gradient",
    "vjp",
    "vmap",
]
