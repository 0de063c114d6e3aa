"""The losses of the golden vectors: values alone, in multiple-precision arithmetic.

docs/golden-vectors.md has the formulas. `m` is an mpmath context. Every loss is a mean over the examples on axis 0 of
the batch's arrays. A parameter that a loss does not name is not used by it.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from metaspec_conformance.golden.vector_records import Array, Arrays

Number = Any
Context = Any
Loss = Callable[[Context, Arrays, Arrays], Number]


def quadratic(m: Context, params: Arrays, batch: Arrays) -> Number:
    """mean_e (v.H_e v / 2 - c_e.v), v all parameters."""
    v = _all_entries(params)
    forms = zip(_rows(batch["H"]), _rows(batch["c"]), strict=True)
    return _mean(m, [m.fdot(v, _products(m, H, v)) / 2 - m.fdot(c, v) for H, c in forms])


def rosenbrock(m: Context, params: Arrays, batch: Arrays) -> Number:
    """mean_e sum_i s_e (v_{i+1} - v_i^2)^2 + (a_e - v_i)^2, v all parameters."""
    v = _all_entries(params)
    terms = []
    for a, s in zip(batch["a"].values, batch["s"].values, strict=True):
        terms.append(m.fsum(s * (y - x * x) ** 2 + (a - x) ** 2 for x, y in pairwise(v)))
    return _mean(m, terms)


def tanh_network(m: Context, params: Arrays, batch: Arrays) -> Number:
    """The mean of (f(x_e) - y_e)^2 over examples and outputs, f a network with tanh layers and a linear last one."""
    depth = sum(name.startswith("w") for name in params)
    errors = []
    for x, y in zip(_rows(batch["x"]), _rows(batch["y"]), strict=True):
        for layer in range(depth):
            x = _affine(m, params[f"w{layer}"], params[f"b{layer}"].values, x)
            x = x if layer == depth - 1 else [m.tanh(z) for z in x]
        errors += [(found - wanted) ** 2 for found, wanted in zip(x, y, strict=True)]
    return _mean(m, errors)


def softplus_regression(m: Context, params: Arrays, batch: Arrays) -> Number:
    """mean_e (log(1 + exp(w.x_e + b)) - y_e)^2."""
    z = _scores(m, params, batch)
    return _mean(m, [(m.log(1 + m.exp(z)) - y) ** 2 for z, y in zip(z, batch["y"].values, strict=True)])


def logistic(m: Context, params: Arrays, batch: Arrays) -> Number:
    """mean_e log(1 + exp(z_e)) - y_e z_e, z_e = w.x_e + b, y_e in {0, 1}."""
    z = _scores(m, params, batch)
    return _mean(m, [m.log(1 + m.exp(z)) - y * z for z, y in zip(z, batch["y"].values, strict=True)])


def softmax(m: Context, params: Arrays, batch: Arrays) -> Number:
    """mean_e log(sum_j exp(z_ej)) - z_e[y_e], z_e = x_e w + b, classes y_e counted from 0."""
    costs = []
    for x, y in zip(_rows(batch["x"]), batch["y"].values, strict=True):
        z = _affine(m, params["w"], params["b"].values, x)
        costs.append(m.log(m.fsum(m.exp(s) for s in z)) - z[y])
    return _mean(m, costs)


LOSSES: MappingProxyType[str, Loss] = MappingProxyType(
    {f.__name__: f for f in (quadratic, rosenbrock, tanh_network, softplus_regression, logistic, softmax)}
)


def _all_entries(params: Arrays) -> list[Number]:
    return [x for name in sorted(params) for x in params[name].values]


def _rows(array: Array) -> list[Sequence[Number]]:
    """The entries of array[0], array[1] ..."""
    n = array.shape[0]
    size = len(array.values) // n
    return [array.values[e * size : (e + 1) * size] for e in range(n)]


def _products(m: Context, matrix: Sequence[Number], v: Sequence[Number]) -> list[Number]:
    d = len(v)
    return [m.fdot(matrix[i * d : (i + 1) * d], v) for i in range(d)]


def _affine(m: Context, w: Array, b: Sequence[Number], x: Sequence[Number]) -> list[Number]:
    outputs = w.shape[1]
    return [m.fdot(x, w.values[j::outputs]) + b[j] for j in range(outputs)]


def _scores(m: Context, params: Arrays, batch: Arrays) -> list[Number]:
    (b,) = params["b"].values
    return [m.fdot(x, params["w"].values) + b for x in _rows(batch["x"])]


def _mean(m: Context, terms: Sequence[Number]) -> Number:
    return m.fsum(terms) / len(terms)
