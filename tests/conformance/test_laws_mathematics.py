"""The laws of the mathematics hold on NumPy, and each fails where what it says is broken."""

from functools import cache

import pytest

import metaspec as ms
from metaspec.backends.numpy.adapter import NumpyBackend
from metaspec.conformance.evidence import evidence
from metaspec.conformance.judge import judge
from metaspec.conformance.laws import LAWS, certified_laws
from metaspec.conformance.plain import leaves
from metaspec.conformance.worker import perform
from metaspec.trees import add, add_scaled, divide, norm, scale, subtract, tree_map, zeros_like

TOPICS = (
    "chain",
    "closed_forms",
    "expansions",
    "implicit",
    "limits",
    "moreau",
    "one_example",
    "scaling",
    "unrolled",
)
CHECKS = [check for check in certified_laws() if LAWS[check.law].check.__module__.rpartition(".")[2] in TOPICS]


@cache
def by_id(name):
    return evidence(next(check for check in CHECKS if check.id == name))


def known(check):
    return by_id(check.id)


def outcome(B, check, dtype="float64"):
    truths, problem = known(check)
    assert problem == ""
    return judge("numpy", check, dtype, truths, perform(B, check, dtype))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_law_holds(check):
    for dtype in check.dtypes:
        assert outcome(NumpyBackend(), check, dtype).message == ""


class BlockDiagonal(NumpyBackend):
    """Products with each leaf's own block of the Hessian, as if leaves were not coupled."""

    def linearize_grad(self, f):
        def linearize(x, *args):
            gradient, product = super(BlockDiagonal, self).linearize_grad(f)(x, *args)

            def blocks(v):
                parts, structure = self.tree_flatten(v)
                zeros = [0 * part for part in parts]
                alone = [[*zeros[:i], part, *zeros[i + 1 :]] for i, part in enumerate(parts)]
                rows = [self.tree_flatten(product(self.tree_unflatten(structure, v)))[0] for v in alone]
                return self.tree_unflatten(structure, [row[i] for i, row in enumerate(rows)])

            return gradient, blocks

        return linearize


class Doubled(NumpyBackend):
    """Products twice as large."""

    def linearize_grad(self, f):
        def linearize(x, *args):
            gradient, product = super(Doubled, self).linearize_grad(f)(x, *args)
            return gradient, lambda v: scale(self, 2.0, product(v))

        return linearize


class HessianAtTheFirstPoint(NumpyBackend):
    """Every product with the Hessian where the first linearisation was."""

    def __init__(self):
        super().__init__()
        self.first = None

    def linearize_grad(self, f):
        def linearize(x, *args):
            gradient, product = super(HessianAtTheFirstPoint, self).linearize_grad(f)(x, *args)
            self.first = product if self.first is None else self.first
            return gradient, self.first

        return linearize


class Unsolved(NumpyBackend):
    """The right-hand side for the solution."""

    def linear_solve(self, matvec, b, solver, x0=None):
        return super().linear_solve(matvec, b, solver, x0)._replace(x=b)


class StartIgnored(NumpyBackend):
    """Every solve starts at zero."""

    def linear_solve(self, matvec, b, solver, x0=None):
        return super().linear_solve(matvec, b, solver)


class Clipped(NumpyBackend):
    """Gradients no longer than 0.1."""

    def value_and_grad(self, f, has_aux=False):
        def wrapped(x, *args):
            value, gradient = super(Clipped, self).value_and_grad(f, has_aux)(x, *args)
            return value, scale(self, 0.1, divide(self, gradient, norm(self, gradient) + 0.1))

        return wrapped


class Squared(NumpyBackend):
    """Gradients times the loss: those of its square."""

    def value_and_grad(self, f, has_aux=False):
        def wrapped(x, *args):
            value, gradient = super(Squared, self).value_and_grad(f, has_aux)(x, *args)
            return value, scale(self, value[0] if has_aux else value, gradient)

        return wrapped


class Summed(NumpyBackend):
    """Gradients of the sum over examples for those of the mean."""

    def value_and_grad(self, f, has_aux=False):
        def wrapped(x, *args):
            value, gradient = super(Summed, self).value_and_grad(f, has_aux)(x, *args)
            return value, scale(self, float(len(leaves(args)[0])) if args else 1.0, gradient)

        return wrapped


class HalfTheExamples(NumpyBackend):
    """Gradients on the first half of the batch."""

    def value_and_grad(self, f, has_aux=False):
        def wrapped(x, *args):
            half = tree_map(self, lambda leaf: leaf[: len(leaf) // 2], args) if args else args
            return super(HalfTheExamples, self).value_and_grad(f, has_aux)(x, *half)

        return wrapped


class NormalisedLeaves(NumpyBackend):
    """Each leaf of a gradient has the length one."""

    def value_and_grad(self, f, has_aux=False):
        def wrapped(x, *args):
            value, gradient = super(NormalisedLeaves, self).value_and_grad(f, has_aux)(x, *args)
            return value, tree_map(self, lambda leaf: leaf / norm(self, leaf), gradient)

        return wrapped


def proximal_term_twice(patch):
    patch.setattr(
        ms.IMAML,
        "_proximal",
        lambda self, B, g, theta, phi: add_scaled(B, g, 2 * self.regularization, subtract(B, theta, phi)),
    )
    return NumpyBackend()


def no_rate_is_the_default_rate(patch):
    original = ms.GradientDescent.update

    def update(self, B, theta, gradient):
        return original(ms.GradientDescent(self.lr or 0.01, self.steps), B, theta, gradient)

    patch.setattr(ms.GradientDescent, "update", update)
    return NumpyBackend()


def momentum(patch):
    """Half of the last gradient of the same inner loop is added."""
    original = ms.GradientDescent.update
    last = {}

    def update(self, B, theta, gradient):
        velocity = add(B, gradient, scale(B, 0.5, last.get("v", zeros_like(B, gradient))))
        last["v"] = velocity
        return original(self, B, theta, velocity)

    patch.setattr(ms.GradientDescent, "update", update)
    return NumpyBackend()


def adapted_on_the_query_set(patch):
    original = ms.FOMAML.meta_gradient
    patch.setattr(
        ms.FOMAML,
        "meta_gradient",
        lambda self, B, loss, params, task: original(self, B, loss, params, ms.Task(task.query, task.query)),
    )
    return NumpyBackend()


def reptile_twice(patch):
    original = ms.Reptile.meta_gradient

    def meta_gradient(self, *args):
        r = original(self, *args)
        return r._replace(delta=add(args[0], r.delta, r.delta))

    patch.setattr(ms.Reptile, "meta_gradient", meta_gradient)
    return NumpyBackend()


def query_loss_of_the_support_set(patch):
    original = ms.Reptile.meta_gradient

    def meta_gradient(self, B, loss, params, task):
        r = original(self, B, loss, params, task)
        return r._replace(query_loss=loss(r.adapted, task.support)[0])

    patch.setattr(ms.Reptile, "meta_gradient", meta_gradient)
    return NumpyBackend()


def stationarity_without_the_pull(patch):
    original = ms.IMAML.meta_gradient

    def meta_gradient(self, B, loss, params, task):
        r = original(self, B, loss, params, task)
        gradient = B.grad(lambda theta: loss(theta, task.support)[0])(r.adapted)
        return r._replace(diagnostics=r.diagnostics._replace(stationarity=norm(B, gradient)))

    patch.setattr(ms.IMAML, "meta_gradient", meta_gradient)
    return NumpyBackend()


def damping_forgotten(patch):
    solve = ms.ConjugateGradient.solve
    patch.setattr(
        ms.ConjugateGradient,
        "solve",
        lambda self, *args: solve(ms.ConjugateGradient(self.steps, self.tol), *args),
    )
    return NumpyBackend()


def as_is(adapter):
    return lambda patch: adapter()


FAULTS = {
    as_is(BlockDiagonal): (
        "maml-on-a-quadratic",
        "imaml-on-a-quadratic",
        "imaml-in-the-krylov-space",
        "maml-on-one-example",
        "imaml-on-one-example",
        "chain-of-products",
        "first-factor",
        "dropped-terms",
        "first-conjugate-step",
        "residual-of-the-system",
        "solved-system",
        "rotated-coordinates",
        "backpropagation",
        "backpropagation-through-adapt",
        "forward-mode",
        "small-rate",
        "maml-over-orders",
        "strong-pull",
    ),
    as_is(HessianAtTheFirstPoint): ("maml-on-one-example", "chain-of-products", "backpropagation"),
    as_is(Doubled): ("imaml-on-a-multiple-of-the-identity", "many-proximal-steps", "imaml-on-the-envelope"),
    as_is(Unsolved): ("imaml-on-a-multiple-of-the-identity", "many-proximal-steps", "strong-pull", "solved-system"),
    as_is(StartIgnored): ("started-solve",),
    as_is(Clipped): ("unit-of-the-loss", "query-loss-is-linear", "one-step-of-reptile"),
    as_is(Squared): ("zero-of-the-loss", "unit-of-the-loss"),
    as_is(Summed): ("duplicated-examples", "descent-on-a-quadratic", "no-curvature"),
    as_is(HalfTheExamples): ("permuted-examples", "fomaml-on-a-quadratic", "reptile-on-a-quadratic"),
    as_is(NormalisedLeaves): ("rotated-coordinates", "stretched-coordinates"),
    proximal_term_twice: ("proximal-path", "stationarity", "reptile-on-the-envelope", "the-optimum-moves"),
    no_rate_is_the_default_rate: ("no-rate",),
    momentum: ("one-step", "path-in-two", "descent-on-a-quadratic", "reptile-on-one-example"),
    adapted_on_the_query_set: ("one-path", "stopped-gradients", "fomaml-over-orders"),
    reptile_twice: ("reptile-is-the-way-gone", "reptile-over-orders", "one-step-of-reptile", "reptile-on-the-envelope"),
    query_loss_of_the_support_set: ("reptile-is-the-way-gone", "no-steps"),
    stationarity_without_the_pull: ("stationarity", "imaml-on-the-envelope"),
    damping_forgotten: ("damping-is-a-stronger-pull", "imaml-in-the-krylov-space", "residual-of-the-system"),
}


@pytest.mark.parametrize(("fault", "names"), FAULTS.items())
def test_law_fails_where_it_is_broken(fault, names):
    checks = [check for check in CHECKS if check.law in names]
    for check in checks:
        known(check)  # before anything is broken
    with pytest.MonkeyPatch.context() as patch:
        failed = {check.law for check in checks if outcome(fault(patch), check).message}
    assert failed == set(names)


def test_every_law_has_a_fault():
    assert {name for names in FAULTS.values() for name in names} == {check.law for check in CHECKS}
