"""Derivatives, batching and recording for arrays of any array-API namespace.

`jvp`, `vjp` and `vmap` take functions of arrays and nest in any order; `record` turns a function into a straight-line
program. `core` has the machinery, `rules` the tables, `functions` what is composed of primitives.
"""

from .batching import vmap
from .core import PRIMITIVES, Box, Primitive, is_concrete
from .forward import jvp
from .namespace import array_namespace, namespace
from .operators import install
from .program import Program
from .recording import computed_anew, record, recording
from .reverse import vjp
from .rounding import perturbed
from .rules.elementwise import stop_gradient

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
