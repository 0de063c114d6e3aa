"""Laws of linear solves, on a system of six unknowns in two leaves whose matrix couples them."""

from collections.abc import Callable, Iterator
from functools import partial, reduce
from typing import Any

import numpy as np

from metaspec.errors import InvalidArgumentError
from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.solvers.dense_solve import DenseSolve
from metaspec.task import Solution, SolveStatus
from metaspec.trees import add_scaled, dot, norm, scale, subtract, tree_map, zeros_like
from metaspec_conformance.judging.numpy_trees import cast, ravel, unravel
from metaspec_conformance.laws.framework.claims import Claim, Equal, Holds, Same, raises
from metaspec_conformance.laws.framework.coupled_scenario import SHAPES, alone, small
from metaspec_conformance.laws.framework.directions import direction
from metaspec_conformance.laws.framework.law import PROTOCOL, law
from metaspec_conformance.laws.framework.law_context import LawContext, Tree
from metaspec_conformance.oracles import dense_oracle
from metaspec_conformance.oracles.krylov_oracle import conjugate_gradients
from metaspec_conformance.scenarios.datasets import parameters

solving = partial(law, subject=PROTOCOL, on=small, applies=alone)
SEEDS = (11, 12, 13, 14, 15)
GROUND = 2.0  # the matrix is GROUND I + Σ w wᵀ over the directions of SEEDS; its condition number is about ten


def _product(at: LawContext, shift: float = GROUND) -> Callable[[Tree], Tree]:
    along = [direction(at, seed) for seed in SEEDS]
    return lambda v: reduce(lambda y, w: add_scaled(at.B, y, dot(at.B, w, v), w), along, scale(at.B, shift, v))


def _system(shift: float = GROUND) -> tuple[Any, Any]:
    """Matrix and right-hand side in extended precision."""
    rows = [ravel(cast(parameters(seed, SHAPES), np.longdouble)) for seed in SEEDS]
    A = shift * np.eye(6, dtype=np.longdouble) + sum(w[:, None] * w for w in rows)
    return A, ravel(cast(parameters(10, SHAPES), np.longdouble))


def _solve(at: LawContext, solver: Any, x0: Tree = None, b: Tree = None, shift: float = GROUND) -> Solution:
    return at.B.linear_solve(_product(at, shift), direction(at, 10) if b is None else b, solver, x0)


def _ended(at: LawContext, what: str, s: Solution, status: SolveStatus, steps: int | None = None) -> Holds:
    found, taken = SolveStatus(int(at.B.to_numpy(s.status))), int(at.B.to_numpy(s.steps))
    right = found is status and steps in (None, taken)
    return Holds(what, right, f"{found.name} after {taken} steps, expected {status.name} after {steps}")


@solving("x_k minimises x·Ax/2 − b·x over span(b, Ab, … A^{k−1}b)", "MS-SOLVE-1")
def krylov_minimiser(at: LawContext) -> Iterator[Claim]:
    A, b = _system()
    basis: list[Any] = []
    for steps in (1, 2, 3, 4):
        w = np.sum(A * basis[-1], axis=1) if basis else b
        for _ in range(2):
            w = w - sum(np.sum(w * q) * q for q in basis)
        basis.append(w / np.sqrt(np.sum(w * w)))
        Q = np.stack(basis)
        projected = np.sum(Q[:, None, :] * np.sum(Q[None, :, :, None] * A, axis=2), axis=2)
        y = dense_oracle.solve(projected, np.sum(Q * b, axis=1))
        s = _solve(at, ConjugateGradient(steps))
        yield Equal(f"{steps} steps", s.x, unravel(np.sum(Q * y[:, None], axis=0), SHAPES))
        yield _ended(at, f"{steps} steps are taken", s, SolveStatus.STEP_LIMIT, steps)


@solving("‖x_k − x*‖_A falls with every step, and the residual said is ‖b − A x_k‖/‖b‖", "MS-SOLVE-1")
def falling_energy(at: LawContext) -> Iterator[Claim]:
    A, b = _system()
    energies = [np.sum(b * dense_oracle.solve(A, b))]
    for steps in (1, 2, 3, 4):
        s = _solve(at, ConjugateGradient(steps))
        x = np.concatenate([np.asarray(at.B.to_numpy(leaf)) for leaf in at.B.tree_flatten(s.x)[0]])
        miss = x.astype(np.longdouble) - dense_oracle.solve(A, b)
        energies.append(np.sum(miss * np.sum(A * miss, axis=1)))
        yield Holds(
            f"step {steps}", energies[-1] < 0.9 * energies[-2], f"from {energies[-2]:.2e} to {energies[-1]:.2e}"
        )
        left = subtract(at.B, direction(at, 10), _product(at)(s.x))
        yield Equal(f"residual {steps}", s.residual, norm(at.B, left) / norm(at.B, direction(at, 10)))


@solving("the first x_k with ‖b − A x_k‖ ≤ tol ‖b‖, or the last", "MS-SOLVE-2", "MS-SOLVE-5")
def solved_by_tolerance(at: LawContext) -> Iterator[Claim]:
    A, b = _system()
    fixed = [conjugate_gradients(A, b, k) for k in range(5)]
    residuals = [float(np.sqrt(np.sum((b - np.sum(A * x, axis=1)) ** 2) / np.sum(b * b))) for x in fixed]
    falling = [k for k in range(1, 5) if residuals[k] < 0.9 * min(residuals[:k])]
    for k in falling:
        tol = (residuals[k] * min(residuals[:k])) ** 0.5  # between this residual and the least before it
        s = _solve(at, ConjugateGradient(40, tol=tol))
        yield _ended(at, f"residual {k}", s, SolveStatus.CONVERGED, k)
        yield Equal(f"x {k}", s.x, unravel(fixed[k], SHAPES))
    yield Holds("some residuals fall", len(falling) > 1, f"{residuals}")
    yield _ended(at, "too few steps", _solve(at, ConjugateGradient(2, tol=1e-6)), SolveStatus.STEP_LIMIT, 2)


@solving("from x_0: x_0 plus k steps on b − A x_0; from the solution: no step", "MS-SOLVE-1", "MS-SOLVE-2")
def warm_start(at: LawContext) -> Iterator[Claim]:
    x0 = direction(at, 16)
    rest = subtract(at.B, direction(at, 10), _product(at)(x0))
    warm, cold = _solve(at, ConjugateGradient(3), x0), _solve(at, ConjugateGradient(3), b=rest)
    yield Equal("three steps", warm.x, add_scaled(at.B, x0, 1.0, cold.x))
    A, b = _system()
    solution = at.array(unravel(dense_oracle.solve(A, b), SHAPES))
    at_once = _solve(at, ConjugateGradient(9, tol=1e-3), solution)
    yield _ended(at, "from the solution", at_once, SolveStatus.CONVERGED, 0)
    yield Equal("the solution", at_once.x, unravel(dense_oracle.solve(A, b), SHAPES))


@solving(
    "with M: x_k = M^{−1/2} y_k, y_k those of M^{−1/2} A M^{−1/2} y = M^{−1/2} b; with M = A one step solves",
    "MS-SOLVE-6",
)
def preconditioned_solve(at: LawContext) -> Iterator[Claim]:
    B, roots = at.B, at.array(unravel(np.asarray([0.5, 1.0, 2.0, 1.5, 0.75, 1.25]), SHAPES))
    diagonal = tree_map(B, lambda d: d * d, roots)
    by_function = ConjugateGradient(3, preconditioner=lambda r: tree_map(B, lambda a, d: a / d, r, diagonal))

    def divided(v: Tree) -> Tree:
        return tree_map(B, lambda a, d: a / d, v, roots)

    product = _product(at)
    y = B.linear_solve(lambda v: divided(product(divided(v))), divided(direction(at, 10)), ConjugateGradient(3)).x
    s = _solve(at, ConjugateGradient(3, preconditioner=diagonal))
    yield Equal("x_3", s.x, divided(y))
    yield Equal("x_3 by a function", _solve(at, by_function).x, divided(y))
    left = subtract(B, direction(at, 10), product(s.x))
    yield Equal("residual", s.residual, norm(B, left) / norm(B, direction(at, 10)))
    A, b = _system()
    inverse = at.array(np.stack([dense_oracle.solve(A, e) for e in np.eye(6, dtype=np.longdouble)]))

    def solved(r: Tree) -> Tree:
        x = B.xp.matmul(inverse, B.xp.concat([r["a"], r["b"]]))
        return {"a": x[:3], "b": x[3:]}

    s = _solve(at, ConjugateGradient(9, tol=1e-3, preconditioner=solved))
    yield Equal("M = A", s.x, unravel(dense_oracle.solve(A, b), SHAPES))
    yield _ended(at, "M = A: one step", s, SolveStatus.CONVERGED, 1)


@solving("DenseSolve is A⁻¹ b, whatever x_0; more unknowns than max_size are refused", "MS-SOLVE-4")
def direct_solve(at: LawContext) -> Iterator[Claim]:
    A, b = _system()
    s = _solve(at, DenseSolve(), direction(at, 16))
    yield Equal("x", s.x, unravel(dense_oracle.solve(A, b), SHAPES))
    yield _ended(at, "converged", s, SolveStatus.CONVERGED)
    yield raises("too many unknowns", InvalidArgumentError, lambda: _solve(at, DenseSolve(max_size=5)))


@solving("(A + γ I) x = b: damping γ is γ more on the diagonal", "MS-SOLVE-3")
def damped_solve(at: LawContext) -> Iterator[Claim]:
    A, b = _system(GROUND + 0.5)
    yield Equal("DenseSolve", _solve(at, DenseSolve(damping=0.5)).x, unravel(dense_oracle.solve(A, b), SHAPES))
    damped, more = _solve(at, ConjugateGradient(3, damping=0.5)), _solve(at, ConjugateGradient(3), shift=GROUND + 0.5)
    yield Equal("ConjugateGradient", damped.x, more.x)
    wanted = conjugate_gradients(A, b, 3)
    yield Equal("the iterate", damped.x, unravel(wanted, SHAPES))


@solving("x(2ⁿ b) = 2ⁿ x(b), without under- or overflow", "MS-SOLVE-7")
def scale_of_the_right_hand_side(at: LawContext) -> Iterator[Claim]:
    b = direction(at, 10)
    for solver in (ConjugateGradient(3), ConjugateGradient(9, tol=1e-2)):
        plain, kind = _solve(at, solver), "steps" if solver.tol is None else "tol"
        for power in (-100, 60):
            s = _solve(at, solver, b=scale(at.B, 2.0**power, b))
            yield Equal(f"{kind}, 2^{power}", s.x, scale(at.B, 2.0**power, plain.x))


@solving("converged, step limit, negative curvature, not finite: said and never raised", "MS-SOLVE-5")
def ends_of_a_solve(at: LawContext) -> Iterator[Claim]:
    B, b = at.B, direction(at, 10)
    zero, spoiled = zeros_like(B, b), scale(B, float("nan"), b)
    solvers = {"steps": ConjugateGradient(9), "tol": ConjugateGradient(9, tol=1e-3), "dense": DenseSolve()}

    def ended(
        what: str, product: Callable[[Tree], Tree], right: Tree, status: SolveStatus, *names: str
    ) -> Iterator[Claim]:
        for name in names or solvers:
            yield _ended(at, f"{what}, {name}", B.linear_solve(product, right, solvers[name]), status)

    twice, nothing = partial(scale, B, 2.0), partial(scale, B, 0.0)
    yield from ended("2 I", twice, b, SolveStatus.CONVERGED)
    yield from ended("b = 0", twice, zero, SolveStatus.CONVERGED)
    for name, solver in solvers.items():
        yield Equal(f"b = 0, {name}: x", B.linear_solve(twice, zero, solver).x, zero)
        yield Equal(f"2 I, {name}: x", B.linear_solve(twice, b, solver).x, scale(B, 0.5, b))
    yield _ended(at, "2 I takes one step", B.linear_solve(twice, b, solvers["steps"]), SolveStatus.CONVERGED, 1)
    yield from ended("−I", partial(scale, B, -1.0), b, SolveStatus.NEGATIVE_CURVATURE, "steps", "tol")
    yield from ended("0", nothing, b, SolveStatus.NEGATIVE_CURVATURE, "steps", "tol")
    yield from ended("singular", nothing, b, SolveStatus.NON_FINITE, "dense")
    yield from ended("NaN in b", twice, spoiled, SolveStatus.NON_FINITE)
    yield from ended("NaN in a product", lambda v: scale(B, float("nan"), v), b, SolveStatus.NON_FINITE)
    curved = B.linear_solve(partial(_saddle, at), b, ConjugateGradient(9))
    yield _ended(at, "a saddle", curved, SolveStatus.NEGATIVE_CURVATURE, 1)
    first = B.linear_solve(partial(_saddle, at), b, ConjugateGradient(1))
    yield Same("the last good iterate is kept", curved.x, first.x)


def _saddle(at: LawContext, v: Tree) -> Tree:
    """2 v_a, −v_b / 8: positive along b, negative at the second step."""
    return {"a": 2.0 * v["a"], "b": -0.125 * v["b"]}
