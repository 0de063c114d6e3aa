"""Complex numbers have no derivative rules: where one would arise, it is refused, and nothing is cast to a real."""

from typing import Any

import numpy

from metaspec.errors import UnsupportedError
from metaspec_numpy.tracer.core import Primitive, raw_value

REMEDY = (
    "Compute with the real and the imaginary part as two real arrays: exp(1j * x) is (np.cos(x), np.sin(x)), a "
    "complex constant F @ x is (F.real @ x, F.imag @ x), |z| is np.hypot(re, im), and a Fourier transform is a "
    "product with the matrices np.cos(2 * np.pi * k * n / N) and -np.sin(2 * np.pi * k * n / N)."
)


def refuse_complex(primitive: Primitive, out: Any) -> None:
    """Raises UnsupportedError where `out`, which a derivative passes through, is complex."""
    dtype = raw_value(out).dtype
    if dtype.kind == "c" if isinstance(dtype, numpy.dtype) else "complex" in str(dtype):
        raise UnsupportedError(
            f"{primitive.name} of a traced array gives {dtype}: complex values have no derivative on the NumPy "
            f"backend. {REMEDY}"
        )
