"""Linear solvers broken on purpose."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import metaspec as ms
from metaspec.trees import add_scaled, divide, dot, max_abs, norm, scale, subtract, tree_map, zeros_like
from tests.conformance.seeded_faults.fault import Patch, fault, method

solver = "solver"
CG, DENSE = ms.ConjugateGradient, ms.DenseSolve


def wrapped(patch: Patch, kind: type, call: Callable[..., Any]) -> None:
    """`call(original, self, B, matvec, b, *rest)` for a solver's `solve`."""

    method(
        patch,
        kind,
        "solve",
        lambda original, self, B, matvec, b, *rest, **named: call(original, self, B, matvec, b, *rest, **named),
    )


def other(patch: Patch, kind: type, change: Callable[[Any], Any]) -> None:
    """Another solver than was asked for."""
    wrapped(patch, kind, lambda original, self, *args, **named: original(change(self), *args, **named))


def answered(patch: Patch, kind: type, change: Callable[..., Any]) -> None:
    """`change(solution, self, B, b)` for what a solver returns."""

    def call(original: Any, self: Any, B: Any, matvec: Any, b: Any, *rest: Any, **named: Any) -> Any:
        return change(original(self, B, matvec, b, *rest, **named), self, B, b)

    wrapped(patch, kind, call)


def written_out(direction: str = "new", stores: str = "at once", ends: bool = True) -> Any:
    """Conjugate gradients of the books, with the places where they go wrong; its answer has the status 'step limit'."""

    def solve(self: Any, B: Any, matvec: Any, b: Any, x0: Any = None, **named: Any) -> Any:
        xp = B.xp
        size = max_abs(B, b)
        b = divide(B, b, xp.where(size > 0, size, xp.ones_like(size)))
        x, r = zeros_like(B, b), b
        p, rr = r, dot(B, r, r)
        bb, taken = rr, xp.zeros_like(rr)
        tiny = (0.01 * xp.finfo(rr.dtype).eps if self.tol is None else self.tol) ** 2 * bb
        for _ in range(self.steps):
            Ap = add_scaled(B, matvec(p), self.damping, p)
            pAp = dot(B, p, Ap)
            going = (rr > tiny) & ((pAp > 0) if ends else (pAp != 0))
            alpha = xp.where(going, rr / xp.where(going, pAp, xp.ones_like(pAp)), xp.zeros_like(rr))
            old, r = r, add_scaled(B, r, -alpha, Ap)
            following = dot(B, r, r)
            stored = xp.where(following > 1e-12 * bb, alpha, 0 * alpha) if stores == "unless it is the last" else alpha
            x = add_scaled(B, x, stored, p)
            beta = xp.where(going, following / xp.where(rr > 0, rr, xp.ones_like(rr)), xp.zeros_like(rr))
            p = add_scaled(B, {"new": r, "old": old}[direction], beta, p)
            rr, taken = following, taken + xp.astype(going, taken.dtype)
        status = xp.astype(xp.zeros_like(rr), xp.int32) + 1
        residual = xp.sqrt(rr) / xp.sqrt(xp.where(bb > 0, bb, xp.ones_like(bb)))
        return ms.Solution(scale(B, size, x), status, xp.astype(taken, xp.int32), residual)

    return solve


@fault(solver, 10, margin=True)
def cg_old_residual(patch: Patch) -> None:
    """The search direction is made from the residual of the step before."""
    patch(CG, "solve", written_out(direction="old"))


@fault(solver, margin=True)
def cg_first_step_not_stored(patch: Patch) -> None:
    """Stops before it stores the step that solved the system: with H = cI the answer is zero."""
    patch(CG, "solve", written_out(stores="unless it is the last"))


@fault(solver)
def cg_through_negative_curvature(patch: Patch) -> None:
    """Goes on where p.Ap <= 0, to a point that is no minimum, and says nothing."""
    patch(CG, "solve", written_out(ends=False))


@fault(solver, margin=True)
def cg_one_step_short(patch: Patch) -> None:
    """One step fewer than was asked for."""

    def call(original: Any, self: Any, B: Any, matvec: Any, b: Any, *rest: Any, **named: Any) -> Any:
        if self.steps == 1:
            return original(self, B, matvec, b, *rest, **named)._replace(x=zeros_like(B, b))
        return original(replace(self, steps=self.steps - 1), B, matvec, b, *rest, **named)

    wrapped(patch, CG, call)


@fault(solver, 9, margin=True)
def damping_ignored(patch: Patch) -> None:
    """The damping is left out."""
    for kind in (CG, DENSE):
        other(patch, kind, lambda self: replace(self, damping=0.0))


@fault(solver, 9, margin=True)
def damping_twice(patch: Patch) -> None:
    """The damping is added twice."""
    for kind in (CG, DENSE):
        other(patch, kind, lambda self: replace(self, damping=2 * self.damping))


@fault(solver, 9, margin=True)
def damping_scales(patch: Patch) -> None:
    """(1 + damping) A for A + damping I."""

    def call(original: Any, self: Any, B: Any, matvec: Any, b: Any, *rest: Any, **named: Any) -> Any:
        plain, c = replace(self, damping=0.0), 1 + self.damping
        return original(plain, B, lambda v: scale(B, c, matvec(v)), b, *rest, **named)

    for kind in (CG, DENSE):
        wrapped(patch, kind, call)


@fault(solver)
def tolerance_absolute(patch: Patch) -> None:
    """||r|| <= tol for ||r|| <= tol ||b||."""

    def call(original: Any, self: Any, B: Any, matvec: Any, b: Any, *rest: Any, **named: Any) -> Any:
        size = norm(B, b)
        if self.tol is None or not B.is_concrete(size) or not float(B.to_numpy(size)):
            return original(self, B, matvec, b, *rest, **named)
        return original(replace(self, tol=self.tol / float(B.to_numpy(size))), B, matvec, b, *rest, **named)

    wrapped(patch, CG, call)


@fault(solver)
def tolerance_of_the_square(patch: Patch) -> None:
    """||r||^2 <= tol ||b||^2: stops far too early."""
    other(patch, CG, lambda self: self if self.tol is None else replace(self, tol=self.tol**0.5))


@fault(solver)
def tolerance_ignored(patch: Patch) -> None:
    """Takes all steps, tolerance or not."""
    other(patch, CG, lambda self: replace(self, tol=None))


@fault(solver)
def status_always_converged(patch: Patch) -> None:
    """Every solve says that it converged."""
    for kind in (CG, DENSE):
        answered(patch, kind, lambda s, self, B, b: s._replace(status=0 * s.status))


@fault(solver)
def steps_reported_as_asked(patch: Patch) -> None:
    """Reports the steps that were allowed, not those that were taken."""
    answered(patch, CG, lambda s, self, B, b: s._replace(steps=0 * s.steps + self.steps))


@fault(solver)
def residual_absolute(patch: Patch) -> None:
    """Reports ||r|| for ||r|| / ||b||."""
    for kind in (CG, DENSE):
        answered(patch, kind, lambda s, self, B, b: s._replace(residual=s.residual * norm(B, b)))


@fault(solver)
def start_ignored(patch: Patch) -> None:
    """A given starting point is not used."""
    wrapped(patch, CG, lambda original, self, B, matvec, b, *rest, **named: original(self, B, matvec, b))


@fault(solver)
def start_counted_twice(patch: Patch) -> None:
    """The starting point is used and then added to the solution."""

    def call(original: Any, self: Any, B: Any, matvec: Any, b: Any, x0: Any = None, **named: Any) -> Any:
        s = original(self, B, matvec, b, x0, **named)
        return s if x0 is None else s._replace(x=add_scaled(B, s.x, 1.0, x0))

    wrapped(patch, CG, call)


@fault(solver, 14)
def zero_right_hand_side_divides(patch: Patch) -> None:
    """b = 0 gives 0 / 0."""

    def call(s: Any, self: Any, B: Any, b: Any) -> Any:
        bb = dot(B, b, b)
        return s._replace(x=scale(B, bb / bb, s.x))

    answered(patch, CG, call)


@fault(solver)
def dense_size_unchecked(patch: Patch) -> None:
    """More unknowns than `max_size` are no error."""
    other(patch, DENSE, lambda self: replace(self, max_size=10**9))


@fault(solver, margin=True)
def dense_by_two_terms(patch: Patch) -> None:
    """b + (b - A b), two terms of Neumann's series, for a direct solve."""

    def call(original: Any, self: Any, B: Any, matvec: Any, b: Any, *rest: Any, **named: Any) -> Any:
        s = original(self, B, matvec, b, *rest, **named)
        r = subtract(B, b, add_scaled(B, matvec(b), self.damping, b))
        return s._replace(x=add_scaled(B, b, 1.0, r))

    wrapped(patch, DENSE, call)


@fault(solver)
def preconditioner_ignored(patch: Patch) -> None:
    """The preconditioner is left out."""
    other(patch, CG, lambda self: replace(self, preconditioner=None))


@fault(solver)
def preconditioner_not_inverted(patch: Patch) -> None:
    """A diagonal multiplies the residual where it must divide."""

    def call(original: Any, self: Any, B: Any, *rest: Any, **named: Any) -> Any:
        M = self.preconditioner
        if M is None or callable(M):
            return original(self, B, *rest, **named)
        inverse = tree_map(B, lambda leaf: 1.0 / leaf, M)
        return original(replace(self, preconditioner=inverse), B, *rest, **named)

    wrapped(patch, CG, call)
