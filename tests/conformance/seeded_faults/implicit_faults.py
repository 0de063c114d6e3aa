"""iMAML broken on purpose."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import metaspec as ms
from metaspec.algorithms.base import query_gradient, result
from metaspec.trees import add_scaled, norm, scale, subtract
from tests.conformance.seeded_faults.algorithm_faults import algorithm, changed
from tests.conformance.seeded_faults.fault import Patch, fault, member, method


def solved(
    product: Callable[..., Any] = lambda B, strength, v, Hv: add_scaled(B, v, 1 / strength, Hv),
    on_query: bool = False,
    at_start: bool = False,
    regularized: bool = False,
) -> Any:
    """iMAML written out: `product` of the system, whose Hessian is taken on which set, where, of which loss."""

    def meta_gradient(self: Any, B: Any, loss: Any, params: Any, task: Any) -> Any:
        theta = self.adapt_to(B, loss, params, task.support)
        lam = self.regularization
        batch, point = task.query if on_query else task.support, params if at_start else theta
        gradient, hvp = B.linearize_grad(lambda theta, batch: loss(theta, batch)[0])(point, batch)
        query_loss, aux, g = query_gradient(B, loss, theta, task)

        def matvec(v: Any) -> Any:
            return product(B, lam, v, add_scaled(B, hvp(v), lam, v) if regularized else hvp(v))

        s = B.linear_solve(matvec, g, self.solver)
        stationarity = norm(B, add_scaled(B, gradient, lam, subtract(B, theta, params)))
        found = {"solve_status": s.status, "solve_steps": s.steps, "solve_residual": s.residual}
        return result(B, s.x, theta, query_loss, aux, stationarity=stationarity, **found)

    return meta_gradient


@fault(algorithm, 8, margin=True)
def imaml_proximal_term_dropped(patch: Patch) -> None:
    """iMAML's inner loop has no proximal term."""
    patch(ms.IMAML, "inner_loop", lambda self, *args: ms.MAML(self.inner).inner_loop(*args))


@fault(algorithm, 8, margin=True)
def imaml_proximal_term_halved(patch: Patch) -> None:
    """lambda/2 (theta - phi) in the inner gradient: the half of the square forgotten in its derivative."""

    method(
        patch,
        ms.IMAML,
        "inner_loop",
        lambda original, self, *args: original(replace(self, regularization=self.regularization / 2), *args),
    )


@fault(algorithm, 9, margin=True)
def imaml_identity_missing(patch: Patch) -> None:
    """H / lambda for I + H / lambda."""
    patch(ms.IMAML, "meta_gradient", solved(lambda B, lam, v, Hv: scale(B, 1 / lam, Hv)))


@fault(algorithm, 9, margin=True)
def imaml_identity_twice(patch: Patch) -> None:
    """The Hessian is that of the proximal objective, and the identity is added to it again."""
    patch(ms.IMAML, "meta_gradient", solved(regularized=True))


@fault(algorithm, 9, margin=True)
def imaml_regularization_inverted(patch: Patch) -> None:
    """I + lambda H for I + H / lambda."""
    patch(ms.IMAML, "meta_gradient", solved(lambda B, lam, v, Hv: add_scaled(B, v, lam, Hv)))


@fault(algorithm, 9, margin=True)
def imaml_not_scaled(patch: Patch) -> None:
    """lambda I + H for I + H / lambda: the meta-update is lambda times too small."""
    patch(ms.IMAML, "meta_gradient", solved(lambda B, lam, v, Hv: add_scaled(B, Hv, lam, v)))


@fault(algorithm, 5, margin=True)
def imaml_hessian_of_the_query(patch: Patch) -> None:
    """The system's Hessian is taken on the query set."""
    patch(ms.IMAML, "meta_gradient", solved(on_query=True))


@fault(algorithm, margin=True)
def imaml_hessian_at_the_start(patch: Patch) -> None:
    """The system's Hessian is taken at phi."""
    patch(ms.IMAML, "meta_gradient", solved(at_start=True))


@fault(algorithm, margin=True)
def imaml_never_solved(patch: Patch) -> None:
    """The right-hand side is returned for the solution."""

    member(
        patch,
        "linear_solve",
        lambda original, self, matvec, b, *args, **kwargs: original(self, matvec, b, *args, **kwargs)._replace(x=b),
    )


@fault(algorithm)
def imaml_stationarity_without_proximal_term(patch: Patch) -> None:
    """`stationarity` is the norm of the support gradient alone."""

    def plain(r: Any, self: Any, B: Any, loss: Any, params: Any, task: Any) -> Any:
        gradient = B.grad(lambda theta, batch: loss(theta, batch)[0])(r.adapted, task.support)
        return r._replace(diagnostics=r.diagnostics._replace(stationarity=norm(B, gradient)))

    changed(patch, ms.IMAML, plain)


@fault(algorithm)
def imaml_says_nothing_of_its_solve(patch: Patch) -> None:
    """The solve's status, steps and residual are missing from the diagnostics."""
    silent = {"solve_status": None, "solve_steps": None, "solve_residual": None}
    changed(patch, ms.IMAML, lambda r, *_: r._replace(diagnostics=r.diagnostics._replace(**silent)))


@fault(algorithm)
def imaml_start_ignored(patch: Patch) -> None:
    """iMAML's solve starts from zero, whatever start was given."""

    method(patch, ms.IMAML, "meta_gradient", lambda original, self, *args: original(replace(self, start=None), *args))
