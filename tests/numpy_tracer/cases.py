"""One case or more for each primitive: a function, and where to evaluate it."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from metaspec_numpy import tracer
from metaspec_numpy.tracer.functions.einsum import einsum
from metaspec_numpy.tracer.rules.elementwise_rules import balance
from metaspec_numpy.tracer.rules.indexing_rules import place, scatter_add
from metaspec_numpy.tracer.rules.structure import broadcast_to, permute, sum_p


class Case(NamedTuple):
    primitive: str
    label: str
    function: Callable[..., Any]  # (xp, *float arrays) -> array
    inputs: tuple[tuple[str, tuple[int, ...]], ...]  # (domain, shape) of each array
    smooth: bool = True  # has derivatives of all orders where it is evaluated

    def __str__(self) -> str:
        return f"{self.primitive}-{self.label}"


def real(*shape: int) -> tuple[str, tuple[int, ...]]:
    return "real", shape


def positive(*shape: int) -> tuple[str, tuple[int, ...]]:
    return "positive", shape


def sample(domain: str, shape: tuple[int, ...], rng: np.random.Generator, dtype: Any = np.longdouble) -> Any:
    """Away from kinks and poles: every element keeps a distance from 0, from 1 and from the integers that matter."""
    u = rng.uniform(0.1, 0.9, size=shape)
    sign = rng.choice([-1.0, 1.0], size=shape)
    x = {
        "real": lambda: sign * (0.2 + u),
        "positive": lambda: 0.3 + u,
        "unit": lambda: sign * u,
        "above one": lambda: 1.2 + u,
        "index": lambda: u,
        "spd": lambda: _spd(rng, shape),
        "matrix": lambda: rng.normal(size=shape) * 0.5 + 2.0 * np.eye(shape[-1]) * np.arange(1, shape[-1] + 1),
    }[domain]()
    return np.asarray(x, dtype=dtype)


def _spd(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    a = rng.normal(size=shape) * 0.3
    return a @ a.mT + np.eye(shape[-1]) * np.arange(1, shape[-1] + 1)


UNARY = {
    "negative": "real", "positive": "real", "reciprocal": "real", "square": "real", "sqrt": "positive", "abs": "real",
    "exp": "real", "expm1": "real", "log": "positive", "log1p": "positive", "log2": "positive", "log10": "positive",
    "sigmoid": "real", "softplus": "real", "sin": "real", "cos": "real", "tan": "unit", "asin": "unit", "acos": "unit",
    "atan": "real", "sinh": "real", "cosh": "real", "tanh": "real", "asinh": "real", "acosh": "above one",
    "atanh": "unit",
}  # fmt: skip
BINARY = {
    "add": "real", "subtract": "real", "multiply": "real", "divide": "real", "pow": "positive", "hypot": "real",
    "logaddexp": "real", "atan2": "real", "maximum": "real", "minimum": "real", "remainder": "positive",
    "copysign": "real",
}  # fmt: skip
FLAT = "stop_gradient sign floor ceil round trunc"
FLAT_BINARY = "floor_divide"
PREDICATES = "isfinite isinf isnan signbit"
COMPARISONS = "equal not_equal less less_equal greater greater_equal"
LOGICAL = "logical_and logical_or logical_xor"
BITWISE = "bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift"


def _named(name: str) -> Callable[..., Any]:
    return lambda xp, *args: getattr(xp, name)(*args)


def _counted(name: str) -> Callable[..., Any]:
    """A predicate, made a float so that it can be compared."""
    return lambda xp, *args: xp.astype(getattr(xp, name)(*args), args[0].dtype) * args[0]


def _elementwise() -> Iterator[Case]:
    for name, domain in UNARY.items():
        yield Case(name, "unary", _named(name), ((domain, (2, 3)),))
    for name, domain in BINARY.items():
        smooth = name not in ("remainder",)
        yield Case(name, "same", _named(name), ((domain, (2, 3)), (domain, (2, 3))), smooth)
        yield Case(name, "broadcast", _named(name), ((domain, (3, 1)), (domain, (2, 1, 4))), smooth)
        yield Case(name, "scalar right", lambda xp, x, n=name: getattr(xp, n)(x, 0.7), ((domain, (3,)),), smooth)
        yield Case(name, "scalar left", lambda xp, x, n=name: getattr(xp, n)(0.7, x), ((domain, (3,)),), smooth)
    for exponent in (0, 1, 2, 3, -1, 0.5, 2.5):
        yield Case("pow", f"to the {exponent}", lambda xp, x, e=exponent: x**e, (positive(4),))
    yield Case("pow", "negative base", lambda xp, x: x**3, (real(4),))
    yield Case("stop_gradient", "flat", lambda xp, x: xp.stop_gradient(xp.floor(x)) * x, (real(2, 3),), smooth=False)
    for name in FLAT.split()[1:]:
        yield Case(name, "flat", lambda xp, x, n=name: getattr(xp, n)(x) * x, (real(2, 3),), smooth=False)
    yield Case("floor_divide", "flat", lambda xp, x, y: xp.floor_divide(x, y) * x, (positive(2, 3), positive(3)), False)
    yield Case("balance", "flat", lambda xp, x, y: balance(x, y) * x, (real(2, 3), real(3)), smooth=False)
    for name in PREDICATES.split():
        yield Case(name, "predicate", _counted(name), (real(4),), smooth=False)
    for name in COMPARISONS.split():
        yield Case(name, "comparison", _counted(name), (real(4), real(4)), smooth=False)
    for name in LOGICAL.split():
        f = lambda xp, x, y, n=name: xp.astype(getattr(xp, n)(x > 0, y > 0), x.dtype) * y  # noqa: E731
        yield Case(name, "logical", f, (real(6), real(6)), smooth=False)
    for name in BITWISE.split():
        whole = lambda xp, x: xp.astype(x * 5, xp.int64)  # noqa: E731
        f = lambda xp, x, y, n=name, w=whole: xp.astype(getattr(xp, n)(w(xp, x), w(xp, y)), x.dtype) * y  # noqa: E731
        yield Case(name, "bitwise", f, (positive(6), positive(6)), smooth=False)
    yield Case("logical_not", "not", lambda xp, x: xp.where(xp.logical_not(x > 0), x * x, x), (real(6),))
    yield Case("bitwise_invert", "not", lambda xp, x: xp.where(~(x > 0), x * x, x), (real(6),))
    yield Case("where", "both", lambda xp, x, y: xp.where(x > y, x * y, y), (real(2, 3), real(3)))
    yield Case("where", "scalar", lambda xp, x: xp.where(x > 0, x * x, 0.0), (real(2, 3),))
    yield Case("where", "spread", lambda xp, x, y: xp.where(xp.asarray([True, False]), x, y), (real(), real(3, 1)))


def _structure() -> Iterator[Case]:
    yield Case("reshape", "flat", lambda xp, x: xp.reshape(x, (-1,)), (real(2, 3),))
    yield Case("reshape", "split", lambda xp, x: xp.reshape(x, (3, 1, 2)), (real(2, 3),))
    yield Case("permute", "three", lambda xp, x: xp.permute_dims(x, (2, 0, 1)), (real(2, 3, 4),))
    yield Case("permute", "raw", lambda xp, x: permute(x, axes=(1, 2, 0)), (real(2, 3, 4),))
    yield Case("broadcast_to", "new and stretched", lambda xp, x: xp.broadcast_to(x, (4, 2, 3)), (real(2, 1),))
    yield Case("broadcast_to", "raw", lambda xp, x: broadcast_to(x, shape=(2, 2)), (real(),))
    yield Case("astype", "round trip", lambda xp, x: xp.astype(xp.astype(x, xp.float64), x.dtype) * 2.0, (real(3),))
    for axis in (None, 0, -1, (0, 2)):
        for keep in (False, True):
            f = lambda xp, x, a=axis, k=keep: xp.sum(x, axis=a, keepdims=k)  # noqa: E731
            yield Case("sum", f"{axis} {keep}", f, (real(2, 3, 4),))
    yield Case("sum", "raw", lambda xp, x: sum_p(x, axis=(1,), keepdims=False), (real(2, 3, 4),))


def _reductions() -> Iterator[Case]:
    for name in ("max", "min"):
        for axis in (None, 0, (0, 2)):
            f = lambda xp, x, n=name, a=axis: getattr(xp, n)(x, axis=a) ** 2  # noqa: E731
            yield Case(name, f"{axis}", f, (real(2, 3, 4),))
    for name in ("any", "all"):
        f = lambda xp, x, n=name: xp.where(getattr(xp, n)(x > 0, axis=1, keepdims=True), x * x, x)  # noqa: E731
        yield Case(name, "axis", f, (real(4, 2),))
    for name in ("argmax", "argmin"):
        f = lambda xp, x, n=name: xp.astype(getattr(xp, n)(x, axis=1), x.dtype) * x[:, 0]  # noqa: E731
        yield Case(name, "axis", f, (real(3, 4),))
        f = lambda xp, x, n=name: xp.take(xp.reshape(x, -1), getattr(xp, n)(x)) ** 2  # noqa: E731
        yield Case(name, "flat", f, (real(3, 4),))
    yield Case("argsort", "sort", lambda xp, x: xp.sort(x, axis=0) * xp.sort(x, axis=0, descending=True), (real(4, 2),))
    for axis in (0, 1):
        f = lambda xp, x, a=axis: xp.cumulative_sum(x * x, axis=a)  # noqa: E731
        yield Case("cumulative_sum", f"{axis}", f, (real(3, 4),))
    yield Case("cumulative_sum", "initial", lambda xp, x: xp.cumulative_sum(x, include_initial=True), (real(3),))


def _indexing() -> Iterator[Case]:
    for label, key in {
        "one": np.s_[1], "last": np.s_[..., -1], "slice": np.s_[:, 1:3], "step": np.s_[:, ::-2], "back": np.s_[::-1],
        "new": np.s_[None, :, None, 1], "empty": np.s_[:, 2:2], "mixed": np.s_[0, ..., None, 1:],
    }.items():  # fmt: skip
        yield Case("slice", label, lambda xp, x, k=key: (x * x)[k], (real(2, 4, 3),))
    spans = ((1, 4, None), (None, None, -2))
    yield Case("place", "raw", lambda xp, x: place(x * x, spans=spans, shape=(5, 5)), (real(3, 3),))
    yield Case("place", "pad", lambda xp, x: xp.pad(x * x, ((1, 0), (2, 3)), constant_values=2.0), (real(2, 3),))
    twice = np.array([[1, 1], [0, -1]])
    for axis in (0, 1, 2):
        f = lambda xp, x, a=axis: xp.take(x * x, xp.asarray(twice), axis=a)  # noqa: E731
        yield Case("take", f"repeated {axis}", f, (real(3, 2, 4),))
        g = lambda xp, x, a=axis: xp.take(x * x, xp.argmax(x[0, 0], axis=0, keepdims=True), axis=a)  # noqa: E731
        yield Case("take", f"traced index {axis}", g, (real(4, 4, 4),))
    for label, key in {
        "array": np.s_[[0, 2, 0]], "pair": np.s_[[0, 2, 2], [1, 1, 1]], "apart": np.s_[[0, 1], :, [1, 1]],
        "behind": np.s_[:, [0, 0, 1]], "with integer": np.s_[1, :, [0, 3, 3]], "grid": np.s_[[[0], [2]], [0, 1, 1]],
        "new": np.s_[None, [0, 0], 1:], "behind two": np.s_[:, [0, 1], [2, 2]],
    }.items():  # fmt: skip
        as_key = tuple(np.asarray(k) if isinstance(k, list) else k for k in (key if isinstance(key, tuple) else (key,)))
        yield Case("take", f"key {label}", lambda xp, x, k=as_key: _on(xp, x * x, k), (real(3, 2, 4),))
    yield Case("take", "along axis", _along_axis, (real(3, 4),))
    yield Case("take", "mask", lambda xp, x: _on(xp, x * x, (np.array([True, False, True]),)), (real(3, 2),))
    index = np.array([2, 0, 2])
    for axis in (0, 1):
        shape = (3, 4) if axis == 0 else (2, 3)
        f = lambda xp, x, a=axis: scatter_add(x * x, xp.asarray(index), axis=a, length=4)  # noqa: E731
        yield Case("scatter_add", f"repeated {axis}", f, (real(*shape),))
    traced = lambda xp, x: scatter_add(  # noqa: E731
        x * x, xp.astype(x[:, 0] > 0, xp.int64) + xp.argmax(x[0], axis=0), axis=0, length=5
    )
    yield Case("scatter_add", "traced index", traced, (real(3, 2),))
    only = lambda xp, x, y: scatter_add(y, xp.astype(x > 0, xp.int64), axis=1, length=2) * xp.sum(x)  # noqa: E731
    yield Case("scatter_add", "traced index, axis 1", only, (real(3), real(2, 3)))
    yield Case("concat", "two", lambda xp, x, y: xp.concat([x, y * y, x], axis=1), (real(2, 3), real(2, 1)))
    yield Case("concat", "constant", lambda xp, x: xp.concat([x, xp.ones((2, 2), dtype=x.dtype)]), (real(3, 2),))


def _on(xp: Any, x: Any, key: Any) -> Any:
    return tracer.operators.getitem(x, tuple(xp.asarray(k) if isinstance(k, np.ndarray) else k for k in key))


def _along_axis(xp: Any, x: Any) -> Any:
    return xp.take_along_axis(x * x, xp.asarray(np.array([[0, 0], [1, 3], [-1, 2]])), axis=1)


def _products() -> Iterator[Case]:
    shapes = {
        "matrices": ((2, 3), (3, 4)), "stack left": ((5, 2, 3), (3, 4)), "stack right": ((2, 3), (5, 3, 4)),
        "stacks": ((5, 2, 3), (5, 3, 4)), "spread": ((4, 1, 2, 3), (5, 3, 1)), "outer": ((2, 3, 1), (2, 1, 4)),
        "vectors": ((3,), (3,)), "matrix vector": ((2, 4, 3), (3,)), "vector matrix": ((3,), (2, 3, 4)),
    }  # fmt: skip
    for label, (a, b) in shapes.items():
        yield Case("matmul", label, lambda xp, x, y: xp.matmul(x, y), (real(*a), real(*b)))
    yield Case("matmul", "itself", lambda xp, x: x.mT @ x, (real(4, 3, 2),))
    yield Case("matmul", "vecdot", lambda xp, x, y: xp.vecdot(x, y, axis=-1), (real(2, 3), real(4, 1, 3)))
    yield Case(
        "matmul",
        "tensordot",
        lambda xp, x, y: xp.tensordot(x, y, axes=((2, 0), (1, 2))),
        (real(2, 3, 4), real(5, 4, 2)),
    )
    yield Case(
        "matmul", "einsum", lambda xp, x, y: einsum("bij,bkj,k->bi", x, y, y[0, :, 0]), (real(2, 3, 4), real(2, 5, 4))
    )


def _linalg() -> Iterator[Case]:
    matrix, spd = ("matrix", (2, 3, 3)), ("spd", (2, 3, 3))
    yield Case("solve", "matrices", lambda xp, a, b: xp.linalg.solve(a, b), (matrix, real(2, 3, 2)))
    yield Case("solve", "vector", lambda xp, a, b: xp.linalg.solve(a, b), (("matrix", (3, 3)), real(3)))
    yield Case("solve", "spread", lambda xp, a, b: xp.linalg.solve(a, b), (("matrix", (3, 3)), real(2, 3, 2)))
    yield Case("inv", "stack", lambda xp, a: xp.linalg.inv(a), (matrix,))
    yield Case("det", "stack", lambda xp, a: xp.linalg.det(a), (matrix,))
    yield Case("logabsdet", "stack", lambda xp, a: xp.linalg.slogdet(a).logabsdet, (matrix,))
    yield Case("signdet", "stack", lambda xp, a: xp.linalg.slogdet(a).sign * xp.sum(a), (matrix,))
    yield Case("cholesky", "stack", lambda xp, a: xp.linalg.cholesky((a + a.mT) * 0.5), (spd,))
    yield Case(
        "qr",
        "tall",
        lambda xp, a: xp.linalg.qr(a).R + xp.sum(xp.linalg.qr(a).Q ** 3, axis=-2, keepdims=True),
        (real(2, 4, 3),),
    )
    yield Case("qr", "wide", lambda xp, a: xp.linalg.qr(a).R + xp.linalg.qr(a).Q[..., :1], (real(3, 5),))
    yield Case("cholesky", "upper", lambda xp, a: xp.linalg.cholesky(a, upper=True), (spd,))
    yield Case("eigh", "asymmetric", lambda xp, a: xp.linalg.eigvalsh(a + xp.triu(a, k=1)), (spd,))
    yield Case("eigh", "values", lambda xp, a: xp.linalg.eigh((a + a.mT) * 0.5).eigenvalues, (spd,))
    yield Case("eigh", "vectors", lambda xp, a: xp.linalg.eigh((a + a.mT) * 0.5).eigenvectors ** 2, (spd,))


def _composites() -> Iterator[Case]:
    """Functions that are made of primitives; filed under the one that matters most."""
    x = real(2, 3)
    for name in ("mean", "var", "std", "prod", "logsumexp"):
        for axis in (None, 1):
            f = lambda xp, x, n=name, a=axis: getattr(xp, n)(x, axis=a)  # noqa: E731
            yield Case("multiply" if name == "prod" else "sum", f"{name} {axis}", f, (x,))
    for name in ("softmax", "log_softmax"):
        yield Case("exp", name, lambda xp, x, n=name: getattr(xp, n)(x, axis=1), (x,))
    yield Case("multiply", "prod of zero", lambda xp, x: xp.prod(xp.concat([x, x[:1] * 0.0]), axis=0), (real(3, 2),))
    yield Case("concat", "cumulative_prod", lambda xp, x: xp.cumulative_prod(x, axis=1), (real(2, 5),))
    yield Case("concat", "stack", lambda xp, x, y: xp.stack([x, y, x], axis=1), (x, x))
    yield Case("slice", "unstack", lambda xp, x: xp.unstack(x, axis=1)[1] * x[:, 2], (x,))
    yield Case("concat", "roll", lambda xp, x: xp.roll(x, (1, -1), axis=(0, 1)) * x, (x,))
    yield Case("slice", "flip", lambda xp, x: xp.flip(x) * x, (x,))
    yield Case("broadcast_to", "repeat", lambda xp, x: xp.repeat(x * x, 2, axis=1), (x,))
    yield Case("broadcast_to", "tile", lambda xp, x: xp.tile(x * x, (2, 1, 2)), (x,))
    yield Case("where", "tril", lambda xp, x: xp.tril(x * x, k=-1) + xp.triu(x, k=1), (real(2, 4, 3),))
    yield Case("slice", "diff", lambda xp, x: xp.diff(x * x, axis=1, n=2), (real(2, 5),))
    yield Case("concat", "diff, ends", lambda xp, x: xp.diff(x, prepend=x[:, :1] * 2, append=x * x), (real(2, 3),))
    yield Case("reshape", "expand_dims, axis by position", lambda xp, x: xp.expand_dims(x * x, 0), (real(2, 3),))
    yield Case("minimum", "clip", lambda xp, x: xp.clip(x, -0.65, 0.65) * x, (x,))
    yield Case("slice", "diagonal", lambda xp, x: xp.linalg.diagonal(x, offset=1) ** 2, (real(2, 3, 4),))
    yield Case("slice", "trace", lambda xp, x: xp.linalg.trace(x @ x, offset=-1), (real(2, 3, 3),))
    yield Case("multiply", "outer", lambda xp, x, y: xp.linalg.outer(x, y), (real(3), real(2)))
    yield Case("multiply", "cross", lambda xp, x, y: xp.linalg.cross(x, y), (real(2, 3), real(2, 3)))
    yield Case("matmul", "power", lambda xp, x: xp.linalg.matrix_power(x, 5), (("matrix", (2, 2)),))
    for order in (1, 2, 3, np.inf, -np.inf):
        f = lambda xp, x, o=order: xp.linalg.vector_norm(x, axis=1, ord=o)  # noqa: E731
        yield Case("sqrt" if order == 2 else "abs", f"norm {order}", f, (real(2, 4),))
    for order in ("fro", 1, np.inf):
        f = lambda xp, x, o=order: xp.linalg.matrix_norm(x, ord=o)  # noqa: E731
        yield Case("sqrt" if order == "fro" else "abs", f"matrix norm {order}", f, (real(2, 4, 3),))


CASES = [
    *_elementwise(), *_structure(), *_reductions(), *_indexing(), *_products(), *_linalg(), *_composites()
]  # fmt: skip
NO_DERIVATIVE = {
    *FLAT.split(), *FLAT_BINARY.split(), *PREDICATES.split(), *COMPARISONS.split(), *LOGICAL.split(), *BITWISE.split(),
    "logical_not", "bitwise_invert", "balance", "any", "all", "argmax", "argmin", "argsort", "signdet",
}  # fmt: skip
