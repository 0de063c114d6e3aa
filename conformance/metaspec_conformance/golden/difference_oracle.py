"""Meta-gradients from function evaluations alone: no derivative rule, nothing of metaspec, no number of NumPy.

A gradient of a loss is its central differences, theta_K gradient descent on those. Then
  MAML: central differences of the whole function phi -> l(theta_K(phi); Q), the inner loop with its own in it
  FO-MAML: central differences of l(.; Q) at theta_K        Reptile: phi - theta_K, the loop on S and Q joined
  iMAML: H by second differences of l(.; S) at theta_K, then ((1 + damping) I + H/lambda) delta = grad l(theta_K; Q)
A member of the family is the same with another step (`family_loop`); what it learns is varied with phi.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec_conformance.golden import differences
from metaspec_conformance.golden.family_loop import FamilyLoop, part
from metaspec_conformance.golden.perturbing import Rounding, exact
from metaspec_conformance.golden.vector_losses import LOSSES
from metaspec_conformance.golden.vector_records import (
    Array,
    Arrays,
    Inputs,
    Outputs,
    VectorRule,
    VectorSolver,
    VectorTask,
    map_values,
)
from metaspec_conformance.oracles.krylov_oracle import conjugate_gradients

Number = Any
Numbers = list[Number]
NewRounding = Callable[[], Rounding]

LEAST_RESIDUAL = 1e-6  # below this, whether an implementation takes one more step is its own affair


class UnfitVectorError(ValueError):
    """The inputs do not define a result that every correct implementation can reach."""


@dataclass(frozen=True)
class Arithmetic:
    """An mpmath context and the step h of differences."""

    m: Any
    h: Number

    @classmethod
    def of(cls, digits: int, step_digits: int) -> "Arithmetic":
        """`digits` working decimal digits, h = 10^-step_digits."""
        from mpmath import MPContext

        m = MPContext()
        m.dps = digits
        return cls(m, m.mpf(10) ** -step_digits)


def compute(
    inputs: Inputs, arithmetic: Arithmetic, new_rounding: Callable[[int], NewRounding] | None = None
) -> Outputs:
    """The mean over the tasks; `new_rounding(i)` gives the i-th task's roundings."""
    m = arithmetic.m
    results = [
        _OneTask(inputs, task, arithmetic, new_rounding(i) if new_rounding else lambda: exact).result()
        for i, task in enumerate(inputs.tasks)
    ]
    deltas, adapted, losses = zip(*results, strict=True)
    delta = [m.fsum(entries) / len(results) for entries in zip(*deltas, strict=True)]
    return Outputs(
        _shaped(delta, inputs.params),
        tuple(_shaped(theta, inputs.params) for theta in adapted),
        Array((), (m.fsum(losses) / len(results),)),
        learned_arrays(inputs.algorithm.rule, delta[sum(len(leaf.values) for leaf in inputs.params.values()) :]),
    )


def learned_arrays(rule: VectorRule | None, flat: Sequence[Number]) -> dict[str, Arrays]:
    """What is learned, from its numbers in a row: inputs in the order of `learned`, in each by sorted name."""
    found, start = dict[str, Arrays](), 0
    if rule is None:
        return found
    for which in rule.learned:
        found[which] = _shaped(flat[start:], rule.inputs[which])
        start += sum(len(leaf.values) for leaf in found[which].values())
    return found


class _OneTask:
    """One task's computation on flat lists of numbers, parameters by sorted name."""

    def __init__(self, inputs: Inputs, task: VectorTask, arithmetic: Arithmetic, new_rounding: NewRounding) -> None:
        self.m, self.h, self.new_rounding = arithmetic.m, arithmetic.h, new_rounding
        self.params, self.algorithm, self.loss = inputs.params, inputs.algorithm, LOSSES[inputs.loss]
        self.support = self._numbers(task.support)
        self.query = self.support if task.query is None else self._numbers(task.query)
        joined = self.algorithm.name == "Reptile" and task.query is not None
        self.inner_batch = _joined(self.support, self.query) if joined else self.support
        self.phi = _flat(self._numbers(inputs.params))
        self.rates = self._rates()
        rule = self.algorithm.rule
        self.given = {} if rule is None else {name: self._numbers(arrays) for name, arrays in rule.inputs.items()}
        if rule is not None and "lr" not in self.given:
            self.given["lr"] = self._full_rates()
        self.learned = [x for which in (rule.learned if rule else ()) for x in _flat(self.given[which])]

    def result(self) -> tuple[Numbers, Numbers, Number]:
        """Delta, theta_K and the query loss."""
        rounding = self.new_rounding()
        theta = self._inner(self.phi, rounding)
        weights = self.algorithm.rule and self.algorithm.rule.query_weights
        query_loss = self._objective(self.phi, self.learned, rounding) if weights else self._judged(theta, rounding)
        (query_loss,) = rounding(1)([query_loss])
        return self._delta(theta, rounding), theta, query_loss

    def _delta(self, theta: Numbers, rounding: Rounding) -> Numbers:
        match self.algorithm.name:
            case "MAML":
                return self._maml(rounding)
            case "FOMAML":
                return self._gradient(theta, self.query, rounding)
            case "Reptile":
                return [p - t for p, t in zip(self.phi, theta, strict=True)]
            case "IMAML":
                return self._imaml(theta, rounding)
        raise UnfitVectorError(f"unknown algorithm {self.algorithm.name!r}")

    def _maml(self, rounding: Rounding) -> Numbers:
        n = len(self.phi)

        def whole(variables: Numbers) -> Number:
            return self._objective(variables[:n], variables[n:], self.new_rounding())

        variables = [*self.phi, *self.learned]
        return rounding(len(variables))(differences.gradient(whole, variables, self.h))

    def _objective(self, phi: Numbers, learned: Numbers, rounding: Rounding) -> Number:
        rule = self.algorithm.rule
        if rule is None:
            return self._judged(self._inner(phi, rounding), rounding)
        path = self._path(phi, learned, rounding)
        if rule.query_weights is None:
            return self._judged(path[-1], rounding)
        weighted = zip(rule.query_weights, path[1:], strict=True)
        return self.m.fsum(self.m.mpf(w) * self._judged(theta, rounding) for w, theta in weighted)

    def _judged(self, theta: Numbers, rounding: Rounding) -> Number:
        return self._function(self.query, rounding)(theta)

    def _path(self, phi: Numbers, learned: Numbers, rounding: Rounding) -> list[Numbers]:
        """theta_0 ... theta_K of a member of the family; truncated, phi and `learned` count from theta_{K-j} on."""
        rule = self.algorithm.rule
        assert rule is not None
        since = 0 if rule.backprop_steps is None else self.algorithm.steps - rule.backprop_steps
        varied = {**self.given, **learned_arrays(rule, learned)}

        def slope(theta: Numbers, k: int) -> Numbers:
            return self._gradient(theta, part(self.inner_batch, rule.minibatch, k), rounding)

        theta, state = FamilyLoop(self.algorithm, self.params, varied, self.m.sqrt).start(self.phi if since else phi)
        origin, path = theta, [theta]
        for k in range(self.algorithm.steps):
            inputs = varied if k >= since else self.given
            loop = FamilyLoop(self.algorithm, self.params, inputs, self.m.sqrt)
            theta, state = loop.step(theta, state, slope, origin, k)
            theta = rounding(len(phi))(theta)
            if k + 1 == since:
                theta = [x + (a - b) for x, a, b in zip(theta, phi, self.phi, strict=True)]
            path.append(theta)
        return path

    def _imaml(self, theta: Numbers, rounding: Rounding) -> Numbers:
        solver, n = self.algorithm.solver, len(theta)
        assert solver is not None
        strength, damping = self.m.mpf(self.algorithm.regularization), self.m.mpf(solver.damping)
        H = differences.hessian(self._function(self.support, rounding), theta, self.h)
        scaled = [[h / strength for h in rounding(n)(row)] for row in H]
        A = [[a + (1 + damping) * (i == j) for j, a in enumerate(row)] for i, row in enumerate(scaled)]
        return _solve(self.m, A, self._gradient(theta, self.query, rounding), solver, rounding)

    def _inner(self, phi: Numbers, rounding: Rounding) -> Numbers:
        if self.algorithm.rule is not None:
            return self._path(phi, self.learned, rounding)[-1]
        theta = phi
        strength = self.m.mpf(self.algorithm.regularization or 0)
        for _ in range(self.algorithm.steps):
            g = self._gradient(theta, self.inner_batch, rounding)
            steps = zip(theta, self.rates, g, phi, strict=True)
            theta = rounding(len(phi))([t - r * (g + strength * (t - p)) for t, r, g, p in steps])
        return theta

    def _gradient(self, theta: Numbers, batch: Arrays, rounding: Rounding) -> Numbers:
        found = differences.gradient(self._function(batch, rounding), theta, self.h)
        return rounding(len(theta))(found)

    def _function(self, batch: Arrays, rounding: Rounding) -> differences.Function:
        """The loss on a batch, with roundings of its arguments that stay the same."""
        at = rounding(len(self.phi))
        data = {name: _rounded(leaf, rounding) for name, leaf in batch.items()}
        return lambda theta: self.loss(self.m, _shaped(at(theta), self.params), data)

    def _numbers(self, arrays: Arrays) -> Arrays:
        return {
            name: map_values(lambda x: x if isinstance(x, int) else self.m.mpf(x), leaf)
            for name, leaf in arrays.items()
        }

    def _rates(self) -> Numbers:
        return _flat(self._full_rates())

    def _full_rates(self) -> Arrays:
        lr, full = self.algorithm.lr, {}
        for name, leaf in self.params.items():
            values = (self.m.mpf(lr),) if isinstance(lr, str) else self._numbers(lr)[name].values
            full[name] = Array(leaf.shape, values * len(leaf.values) if len(values) == 1 else values)
        return full


def _solve(m: Any, A: list[Numbers], b: Numbers, solver: VectorSolver, rounding: Rounding) -> Numbers:
    if solver.name == "dense":
        return list(m.lu_solve(m.matrix(A), m.matrix(b)))
    assert solver.steps is not None
    return solve_by_steps(m, A, b, solver.steps, rounding)


def solve_by_steps(m: Any, A: list[Numbers], b: Numbers, steps: int, rounding: Rounding = exact) -> Numbers:
    """Return the iterate of conjugate gradients after exactly `steps` steps from zero.

    Raises:
        UnfitVectorError: The system is solved before the last step, or A is not positive definite.
    """
    bb = m.fdot(b, b)

    def watch(step: int, residual: Number, curvature: Number) -> None:
        if residual < LEAST_RESIDUAL**2 * bb:
            raise UnfitVectorError(f"{steps} steps of conjugate gradients asked for, the system is solved after {step}")
        if curvature <= 0:
            raise UnfitVectorError("the matrix of the linear solve is not positive definite")

    def rounded(x: Any) -> Any:
        return np.array(rounding(len(b))(list(x)), dtype=object)

    return list(conjugate_gradients(A, np.array(b, dtype=object), steps, rounded, dot=m.fdot, watch=watch))


def _flat(arrays: Arrays) -> Numbers:
    return [x for name in sorted(arrays) for x in arrays[name].values]


def _shaped(flat: Sequence[Number], like: Arrays) -> Arrays:
    shaped, start = {}, 0
    for name in sorted(like):
        end = start + len(like[name].values)
        shaped[name] = Array(like[name].shape, tuple(flat[start:end]))
        start = end
    return shaped


def _joined(support: Arrays, query: Arrays) -> Arrays:
    """Row by row along axis 0, which in row-major order is one list after the other."""
    return {
        name: Array((a.shape[0] + query[name].shape[0], *a.shape[1:]), a.values + query[name].values)
        for name, a in support.items()
    }


def _rounded(leaf: Array, rounding: Rounding) -> Array:
    if isinstance(leaf.values[0], int):
        return leaf
    return Array(leaf.shape, tuple(rounding(len(leaf.values))(leaf.values)))
