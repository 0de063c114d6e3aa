r"""Activations, elementwise. Derivatives of every order are finite at every finite argument.

They are written so that an intermediate value that overflows is never multiplied by one that underflows: exponentials
are taken of non-positive numbers alone. Where a formula differs for x >= 0 and x < 0, both branches are analytic at 0
and agree in all derivatives, so 0 is no kink of theirs.
"""

import math

from metaspec.nn._backend import backend_of
from metaspec.task import Array

_GELU_SATURATED = 30.0  # beyond, gelu(x) is x or 0 in every format up to float64


def relu(x: Array) -> Array:
    """Rectified linear unit: x where x > 0, else 0; the derivative at 0 is 0 on every backend.

    Frameworks' `maximum(x, 0)` has derivative 0.5 (JAX, PyTorch) or 1 (TensorFlow) there.

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> nn.relu(np.array([-1.0, 0.0, 2.0]))
        array([0., 0., 2.])
    """
    return backend_of(x).xp.where(x > 0, x, 0.0)


def sigmoid(x: Array) -> Array:
    """Logistic function, 1 / (1 + exp(-x)), with full relative precision on both sides.

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> nn.sigmoid(np.array([-1000.0, 0.0, 1000.0]))
        array([0. , 0.5, 1. ])
    """
    xp = backend_of(x).xp
    e = _decay(x)
    return xp.where(x >= 0, 1.0, e) / (1.0 + e)


def softplus(x: Array) -> Array:
    """Softplus, log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)); its derivative is `sigmoid`.

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> nn.softplus(np.array([-1000.0, 0.0, 10.0])).round(6)
        array([ 0.      ,  0.693147, 10.000045])
    """
    xp = backend_of(x).xp
    return xp.where(x >= 0, x, 0.0) + xp.log1p(_decay(x))


def tanh(x: Array) -> Array:
    """Hyperbolic tangent, the framework's own.

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> nn.tanh(np.array([0.0, 1.0])).round(6)
        array([0.      , 0.761594])
    """
    return backend_of(x).xp.tanh(x)


def silu(x: Array) -> Array:
    """Sigmoid linear unit, x sigmoid(x) (Elfwing, Uchibe, Doya 2018; "swish").

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> nn.silu(np.array([-1.0, 0.0, 1.0])).round(6)
        array([-0.268941,  0.      ,  0.731059])
    """
    return x * sigmoid(x)


def gelu(x: Array) -> Array:
    r"""Gaussian error linear unit, x sigmoid(2 \sqrt{2 / \pi} (x + 0.044715 x^3)).

    This is the tanh form of Hendrycks, Gimpel 2016, section 2. The exact form needs erf, which the array API standard
    does not have; they differ by less than 5e-4.

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> nn.gelu(np.array([-1.0, 0.0, 1.0])).round(6)
        array([-0.158808,  0.      ,  0.841192])
    """
    xp = backend_of(x).xp
    # The cube is taken of a bounded number, so that it does not overflow beside a sigmoid that is 0 or 1.
    y = xp.where(x > _GELU_SATURATED, _GELU_SATURATED, xp.where(x < -_GELU_SATURATED, -_GELU_SATURATED, x))
    return x * sigmoid(2.0 * math.sqrt(2.0 / math.pi) * (y + 0.044715 * (y * y * y)))


def _decay(x: Array) -> Array:
    """exp(-|x|), the absolute value's derivative at 0 being 1, as the branch x >= 0 of a formula needs it."""
    xp = backend_of(x).xp
    return xp.exp(xp.where(x >= 0, -x, x))
