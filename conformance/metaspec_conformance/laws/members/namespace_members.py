"""The law of `xp`: the functions that the specification, its blocks and the portable losses are written in.

What is exact in every format is held against NumPy to the last bit; the rest against what it is made of.
"""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import numpy as np

from metaspec.backend.protocol import is_floating
from metaspec_conformance.laws.framework.claims import Claim, Equal, Holds, Same
from metaspec_conformance.laws.framework.law_context import LawContext
from metaspec_conformance.laws.members.array_api_laws import CALLED
from metaspec_conformance.laws.members.required_members import member

FUNCTIONS = (
    "abs", "add", "all", "any", "argmax", "asinh", "astype", "atan", "clip", "concat", "cos", "cosh",
    "cumulative_sum", "equal", "exp", "expand_dims", "expm1", "finfo", "float32", "float64", "int32", "isdtype",
    "isfinite", "linalg", "log", "log1p", "logaddexp", "logical_and", "logical_not", "logical_or", "matmul",
    "matrix_transpose", "max", "maximum", "mean", "min", "minimum", "multiply", "ones_like", "permute_dims", "pow",
    "reshape", "sin", "sinh", "sqrt", "stack", "subtract", "sum", "tanh", "var", "where", "zeros_like",
)  # fmt: skip
"""What `xp` must have, by the names of the array API standard; portable losses may use all of the standard."""

X = np.array([[0.5, -2.0, 3.0], [4.0, 0.25, -1.0]])
Y = np.array([1.0, -2.0, 2.0])


@member("xp has the functions of the array API", "MS-DTYPE-1", dtypes=("float32",), numeric=False)
def xp_names(at: LawContext) -> Iterator[Claim]:
    missing = [name for name in sorted({*FUNCTIONS, *CALLED}) if not _has(at.B.xp, name)]
    yield Holds("every function is there", not missing, f"missing: {', '.join(missing)}")


def _has(namespace: Any, name: str) -> bool:
    try:
        attrgetter(name)(namespace)
    except AttributeError:
        return False
    return True


@member("xp is the array API over the backend's arrays", "MS-DTYPE-1", dtypes=("float32",))
def xp(at: LawContext) -> Iterator[Claim]:
    names, B = at.B.xp, at.B
    x, y = at.array((X, Y))
    n = B.asarray(np.array([2, 0], "int32"))
    for name, found in _exact(names, x, y, n).items():
        wanted = _exact(np, X, Y, np.array([2, 0], "int32"))[name]
        floating = is_floating(np.asarray(wanted).dtype.name)
        yield Same(name, found, at.array(wanted) if floating else B.asarray(np.asarray(wanted)))
    p = at.array(np.abs(X))
    yield Equal("exp log x = x", names.exp(names.log(p)), p)
    yield Equal("sqrt(x)^2 = x", names.sqrt(p) * names.sqrt(p), p)
    yield Equal("log1p", names.log1p(p), names.log(1 + p))
    e, d = names.exp(x), names.exp(-x)
    yield Equal("tanh", names.tanh(x), (e - d) / (e + d))
    yield Equal("logaddexp", names.logaddexp(x, y), names.log(names.exp(x) + names.exp(y)))
    yield Equal("mean", names.mean(p, axis=1), names.sum(p, axis=1) / 3)
    digits = names.exp(x[:, :2])
    rows = names.sum(digits[:, :, None] * digits[None, :, :], axis=1)
    yield Equal("matmul in all digits", names.matmul(digits, digits), rows)
    square = at.array(np.array([[2.0, 0.5], [0.5, 1.0]]))
    yield Equal("linalg.solve", names.linalg.solve(square, names.matmul(square, p)), p)
    eps = float(names.finfo(x.dtype).eps)
    expected = {"float32": 2.0**-23, "float64": 2.0**-52}.get(at.dtype, eps)
    yield Holds("finfo(dtype).eps", eps == expected, f"it is {eps}")


def _exact(xp: Any, x: Any, y: Any, n: Any) -> dict[str, Any]:
    """What rounds in no format."""
    return {
        "abs": xp.abs(x),
        "argmax": xp.astype(xp.argmax(x, axis=1), n.dtype),
        "astype": xp.astype(n, x.dtype),
        "astype with a copy": xp.astype(x, x.dtype, copy=True),
        "astype without a copy": xp.astype(x, x.dtype, copy=False),
        "concat": xp.concat([x, x], axis=1),
        "cumulative_sum": xp.cumulative_sum(y),
        "expand_dims": xp.expand_dims(y, axis=0),
        "indexing": x[:, None, 1:],
        "isdtype": xp.astype(n, n.dtype) if xp.isdtype(n.dtype, "integral") else y,
        "isfinite": xp.isfinite(x),
        "logical": xp.logical_or(xp.logical_and(x > 0, xp.logical_not(x > 3)), x == -2),
        "matmul": xp.matmul(x, y),
        "matmul of matrices": xp.matmul(x, xp.permute_dims(x, (1, 0))),
        "max": xp.max(x, axis=1, keepdims=True),
        "maximum": xp.minimum(xp.maximum(x, y), xp.ones_like(x)),
        "zeros * -1.0, with the zero's sign": xp.zeros_like(y) * -1.0,
        "python numbers": 2 * x - 1.0 + x / 2 + x**2,
        "all": xp.all(x > 0),
        "any": xp.any(x > 0),
        "any of a row": xp.any(x > 0, axis=1),
        "reshape": xp.reshape(x, (-1,)),
        "scalars": xp.sum(x[0, 0] * y[1]),
        "stack": xp.stack([y, x[0]], axis=0),
        "sum": xp.sum(x),
        "sum of columns": xp.sum(x, axis=0),
        "sum with axes kept": xp.sum(x, axis=(0, 1), keepdims=True),
        "where": xp.where(x > y, x, 0.0),
    }
