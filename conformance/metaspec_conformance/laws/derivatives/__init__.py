"""Laws of derivatives: the forms agree with one another, at kinks and in the last digits of every function."""

from metaspec_conformance.laws.derivatives import (
    derivative_laws,  # noqa: F401
    elementwise_laws,  # noqa: F401
    kink_laws,  # noqa: F401
    outer_derivative_laws,  # noqa: F401
    unrolled_laws,  # noqa: F401
)
