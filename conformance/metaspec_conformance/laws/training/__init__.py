"""Laws of meta-training and of the task sources that it reads."""

from metaspec_conformance.laws.training import (
    draw_laws,  # noqa: F401
    source_laws,  # noqa: F401
    training_laws,  # noqa: F401
)
