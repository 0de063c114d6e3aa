"""Complex numbers have no derivative rules: where one would arise, it is refused, and nothing is cast to a real."""

from typing import Any

import numpy

from metaspec.errors import UnsupportedError
from metaspec_numpy.tracer.core import Array, Box, Primitive, namespace_of, raw_value

REMEDY = (
    "Compute with the real and the imaginary part as two real arrays: exp(1j * x) is (np.cos(x), np.sin(x)), a "
    "complex constant F @ x is (F.real @ x, F.imag @ x), |z| is np.hypot(re, im), and a Fourier transform is a "
    "product with the matrices np.cos(2 * np.pi * k * n / N) and -np.sin(2 * np.pi * k * n / N)."
)


def is_complex(x: Any) -> bool:
    """Whether an array or a box is complex."""
    dtype = raw_value(x).dtype
    return bool(dtype.kind == "c") if isinstance(dtype, numpy.dtype) else "complex" in str(dtype)


def conjugate(x: Array) -> Array:
    """The complex conjugate; of data that are batched or recorded, which have no rule for it, an error."""
    if not is_complex(x):
        return x
    if isinstance(x, Box):
        raise UnsupportedError(
            "the conjugate, the real and the imaginary part of traced complex data have no rule (vdot and cov take a "
            f"conjugate, too). {REMEDY}"
        )
    return namespace_of(x).conj(x)


def refuse_complex(primitive: Primitive, out: Any) -> None:
    """Raises UnsupportedError where `out`, which a derivative passes through, is complex."""
    if is_complex(out):
        dtype = raw_value(out).dtype
        raise UnsupportedError(
            f"{primitive.name} of a traced array gives {dtype}: complex values have no derivative on the NumPy "
            f"backend. {REMEDY}"
        )
