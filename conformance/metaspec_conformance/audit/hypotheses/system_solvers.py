"""iMAML's linear system as code may solve it: exactly, or by some steps of an iteration from zero."""

from collections.abc import Callable
from typing import Any

import numpy as np

from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis
from metaspec_conformance.oracles import dense_oracle

Vector = Any
Matrix = Any
Round = Callable[[Vector], Vector]


def solved(h: Hypothesis, A: Matrix, g: Vector, rounding: Round) -> Vector:
    """Return A^{-1} g as the hypothesis solves it."""
    if h.solver == "neumann":
        return _neumann(h.solver_rate, A, g, h.solver_steps, rounding)
    if h.solver == "normal equations":
        return _conjugate_gradients(A.T @ A, A.T @ g, h.solver_steps, rounding)
    if h.solver != "exact":
        return _conjugate_gradients(A, g, h.solver_steps, rounding, h.solver == "old residual")
    return dense_oracle.solve(A, g) if g.dtype == np.longdouble else np.linalg.solve(A, g)


def _neumann(rate: float, A: Matrix, g: Vector, terms: int, rounding: Round) -> Vector:
    """Rate times the sum over j < terms of (I - rate A)^j g, which is Richardson's iteration from zero."""
    total = power = g
    for _ in range(terms - 1):
        power = rounding(power - rate * (A @ power))
        total = total + power
    return rate * total


def _conjugate_gradients(A: Matrix, b: Vector, steps: int, rounding: Round, old_residual: bool = False) -> Vector:
    """The iterate after that many steps from zero; fewer where the system is solved to the last bit."""
    x, r, p = np.zeros_like(b), b, b
    rr = np.sum(r * r)
    for _ in range(steps):
        if rr == 0:
            break
        Ap = rounding(A @ p)
        length = rr / np.sum(p * Ap)
        x = rounding(x + length * p)
        former, r = r, r - length * Ap
        before, rr = rr, np.sum(r * r)
        p = (former if old_residual else r) + rr / before * p
    return x
