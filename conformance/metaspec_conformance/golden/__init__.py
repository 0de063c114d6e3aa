"""Golden vectors: meta-gradients correct to 30 digits, in a form that any language reads.

`load()` gives those that come with metaspec, `compare.measure` holds a backend against one of them, and
`python -m metaspec_conformance.golden` computes them anew (that needs mpmath). docs/golden-vectors.md says how to use
them without metaspec.
"""

from metaspec_conformance.golden.vector_files import PLACE, load, parse
from metaspec_conformance.golden.vector_records import (
    Array,
    Inputs,
    Outputs,
    Vector,
    VectorAlgorithm,
    VectorSolver,
    VectorTask,
)

__all__ = [
    "PLACE",
    "Array",
    "Inputs",
    "Outputs",
    "Vector",
    "VectorAlgorithm",
    "VectorSolver",
    "VectorTask",
    "load",
    "parse",
]
