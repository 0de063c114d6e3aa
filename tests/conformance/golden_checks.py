"""Golden vectors by derivatives: the algorithms on flat lists in any arithmetic, the quadratic in closed form."""

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from metaspec_conformance.golden.difference_oracle import learned_arrays
from metaspec_conformance.golden.vector_records import Array, map_values
from tests.conformance.golden_tangents import by_tangents


def is_correct(printed, exact, digits=30):
    """Whether a decimal string is within half a unit of the last of its digits (and a little) of a number."""
    if exact == 0 or printed == "0":
        return exact == 0 and printed == "0"
    unit = Fraction(10) ** (Decimal(printed).adjusted() - digits + 1)
    return abs(Fraction(printed) - exact) <= unit * Fraction(501, 1000)


def as_fraction(x):
    """An mpmath number as the rational that it is."""
    sign, mantissa, exponent, _ = x._mpf_
    return (-1) ** sign * int(mantissa) * Fraction(2) ** exponent


def compute(inputs, derivatives, number):
    """Named leaves of the result, from derivatives(params, batch) -> (value, gradient, Hessian) on flat lists."""
    results = [_one(inputs, task, derivatives, number) for task in inputs.tasks]
    found = {"query_loss": [sum(r[2] for r in results) / len(results)]}
    if inputs.algorithm.rule is not None:
        first = sum(len(leaf.values) for leaf in inputs.params.values())
        for which, arrays in learned_arrays(inputs.algorithm.rule, results[0][0][first:]).items():
            found |= {f"learned/{which}/{name}": list(leaf.values) for name, leaf in arrays.items()}
    sizes = [(name, len(inputs.params[name].values)) for name in sorted(inputs.params)]
    starts = [0, *(sum(n for _, n in sizes[: i + 1]) for i in range(len(sizes)))]
    for (name, _), (a, b) in zip(sizes, pairwise(starts), strict=True):
        found[f"delta/{name}"] = [sum(r[0][i] for r in results) / len(results) for i in range(a, b)]
        found |= {f"adapted/{i}/{name}": r[1][a:b] for i, r in enumerate(results)}
    return found


def _one(inputs, task, derivatives, number):
    algorithm = inputs.algorithm

    def numbers(batch):
        return {
            name: map_values(lambda x: x if isinstance(x, int) else number(x), leaf) for name, leaf in batch.items()
        }

    params = numbers(inputs.params)
    phi = [x for name in sorted(params) for x in params[name].values]
    support = numbers(task.support)
    query = support if task.query is None else numbers(task.query)
    data = support
    if algorithm.name == "Reptile" and task.query is not None:
        data = {
            k: Array((a.shape[0] + query[k].shape[0], *a.shape[1:]), a.values + query[k].values)
            for k, a in support.items()
        }
    if algorithm.rule is not None:
        return by_tangents(algorithm, params, phi, data, query, derivatives)
    rates = _rates(algorithm.lr, inputs.params, number)
    strength = number(algorithm.regularization or "0")
    theta, Hessians = phi, []
    for _ in range(algorithm.steps):
        _, g, H = derivatives(theta, data)
        Hessians.append(H)
        theta = [t - r * (x + strength * (t - p)) for t, r, x, p in zip(theta, rates, g, phi, strict=True)]
    value, u, _ = derivatives(theta, query)
    if algorithm.name == "MAML":
        for H in reversed(Hessians):
            scaled = [r * x for r, x in zip(rates, u, strict=True)]
            u = [x - dot(row, scaled) for x, row in zip(u, H, strict=True)]
    elif algorithm.name == "Reptile":
        u = [p - t for p, t in zip(phi, theta, strict=True)]
    elif algorithm.name == "IMAML":
        H = derivatives(theta, support)[2]
        damping = number(algorithm.solver.damping)
        A = [[h / strength + (1 + damping) * (i == j) for j, h in enumerate(row)] for i, row in enumerate(H)]
        u = eliminate(A, u) if algorithm.solver.name == "dense" else conjugate(A, u, algorithm.solver.steps)
    return u, theta, value


def _rates(lr, params, number):
    if isinstance(lr, str):
        return [number(lr) for leaf in params.values() for _ in leaf.values]
    rates = []
    for name in sorted(params):
        size = len(params[name].values)
        rates += [number(x) for x in lr[name].values] * (size if lr[name].shape == () else 1)
    return rates


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def eliminate(A, b):
    rows = [[*row, x] for row, x in zip(A, b, strict=True)]
    for k, pivot in enumerate(rows):
        for i, row in enumerate(rows):
            if i != k:
                factor = row[k] / pivot[k]
                rows[i] = [x - factor * y for x, y in zip(row, pivot, strict=True)]
    return [row[-1] / row[k] for k, row in enumerate(rows)]


def conjugate(A, b, steps):
    x, r, p = [0 * y for y in b], b, b
    for _ in range(steps):
        Ap = [dot(row, p) for row in A]
        length = dot(r, r) / dot(p, Ap)
        x = [x + length * p for x, p in zip(x, p, strict=True)]
        following = [r - length * a for r, a in zip(r, Ap, strict=True)]
        p = [f + dot(following, following) / dot(r, r) * p for f, p in zip(following, p, strict=True)]
        r = following
    return x


def quadratic(v, batch):
    """Value, gradient and Hessian of mean_e (v.H_e v / 2 - c_e.v), in any arithmetic."""
    d, n = len(v), batch["c"].shape[0]
    H = [[sum(batch["H"].values[(e * d + i) * d + j] for e in range(n)) / n for j in range(d)] for i in range(d)]
    c = [sum(batch["c"].values[e * d + i] for e in range(n)) / n for i in range(d)]
    Hv = [dot(row, v) for row in H]
    return dot(Hv, v) / 2 - dot(c, v), [a - b for a, b in zip(Hv, c, strict=True)], H
