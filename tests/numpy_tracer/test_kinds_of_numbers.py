"""Data that are no float64, batched and recorded: NumPy's own values in its own dtypes, or a refusal."""

from typing import Any

import numpy as np
import pytest

from metaspec.errors import MetaspecError
from metaspec_numpy import tracer
from tests.numpy_tracer.calls import NUMPY_CALLS, SCIPY_CALLS, calls

special = pytest.importorskip("scipy.special")
RNG = np.random.default_rng(3)
INTEGERS = np.array([[100, 3, 5, 1], [2, 4, 0, 2], [90, 6, 7, 1]])
DATA = {
    "uint8": INTEGERS.astype(np.uint8) * 2,  # products and sums overflow
    "int8": (INTEGERS * [1, -1, 1, -1]).astype(np.int8),
    "int64": INTEGERS * [1, -1, 1, -1],
    "uint32": INTEGERS.astype(np.uint32),
    "bool": INTEGERS % 3 == 0,
    "float32": RNG.normal(size=(3, 4)).astype(np.float32),
    "complex64": (RNG.normal(size=(3, 4)) + 1j * RNG.normal(size=(3, 4))).astype(np.complex64),
    "complex128": RNG.normal(size=(3, 4)) + 1j * RNG.normal(size=(3, 4)),
}
W, B = RNG.normal(size=(3, 4)), RNG.uniform(size=(3, 4)) > 0.4
OPERATORS = """
x * 1 | x * 1.0 | 1.0 * x | x / 1 | x - 0.0 | x + 1 | x // 1 | x % 2 | 2**x | x << 1 | x & 1 | ~x | -x | x + True
(x * 1.0) * (x / 1) | x * np.int8(1) | x * np.array(1) | np.where(x, 1, 0) | np.where(x, 1, 2.5)
x.astype(np.uint8) * 200 | x.sum() * x | x.prod(dtype=np.uint8) | np.round(x, 1) * x
np.fabs(x) * 300.0 | np.gradient(x * x)[0]
np.einsum("ij,ik->jk", x, x) | np.einsum("ij,ik,il->jkl", x, x, W)
np.insert(x[0], 1, 2.5) | np.piecewise(x, [x > 1], [lambda v: v / 2, 0.5]) | np.sum(x, initial=0.5)
"""
OTHERS = {  # NumPy's int8, its bool(-1), its cut of leading zeros; SciPy's float64
    "x**2": "bool",
    "np.choose(np.array([0, 1, 1, 0]), [x, x**2])": "bool",
    "x.max(1, keepdims=True, initial=-1.0, where=B)": "bool",
    "np.polymul(x[0], x[1, :3])": "bool",
    "special.xlogy(0.0, p)": "float32 complex64",
}


@pytest.mark.parametrize("call", calls(OPERATORS) + calls(NUMPY_CALLS) + calls(SCIPY_CALLS))
@pytest.mark.filterwarnings("ignore")
def test_values_and_dtypes_are_numpys(call: str) -> None:
    code = compile(call, call, "eval")

    def f(x: Any) -> Any:
        s = np.outer(x[0], x[0]) if x.dtype == bool else x[:1].T * 2 + np.eye(4, dtype=x.dtype) * 9
        return eval(
            code, {"np": np, "special": special, "W": W, "B": B, "S": W, "x": x, "p": x, "m": x, "s": s, "a": s}
        )

    for kind, x in DATA.items():
        if kind in OTHERS.get(call, ""):
            continue
        try:
            expected = f(x.copy())
        except Exception:  # NumPy itself refuses: a difference of booleans
            continue
        for form in (_recorded, _batched):
            try:
                found = form(f, x)
            except (MetaspecError, np.linalg.LinAlgError):  # refused by name
                continue
            for a, b in zip(_parts(found), _parts(expected), strict=True):
                assert (kind, a.shape, a.dtype) == (kind, b.shape, b.dtype)
                single = bool({"float32", "complex64"} & {kind, b.dtype.name})
                tolerance = 1e-2 if b.dtype == np.float16 else 3e-5 if single else 1e-9
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=kind)


def _recorded(f: Any, x: Any) -> Any:
    return tracer.record(f, (x.copy(),))(x.copy())


def _batched(f: Any, x: Any) -> Any:
    found = tracer.vmap(f)(np.stack([x, x]))
    return tuple(part[1] for part in found) if isinstance(found, tuple | list) else found[1]


def _parts(x: Any) -> list[Any]:
    return [np.asarray(part) for part in (x if isinstance(x, tuple | list) else (x,))]
