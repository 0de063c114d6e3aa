"""Laws of derivatives through the protocol: what one form of them says, every other form must say."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from metaspec.algorithms import FOMAML
from metaspec.trees import dot, scale, subtract, tree_map, zeros_like
from metaspec_conformance.judging.numpy_trees import cast, ravel, unravel
from metaspec_conformance.laws.framework.claims import Claim, Equal, Same
from metaspec_conformance.laws.framework.coupled_scenario import small
from metaspec_conformance.laws.framework.directions import direction
from metaspec_conformance.laws.framework.law import ONE_FORMAT, PROTOCOL, law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import algorithm, scenarios
from metaspec_conformance.oracles import quadratic
from metaspec_conformance.scenarios.datasets import parameters
from metaspec_conformance.scenarios.scenario import Scenario

protocol = partial(law, subject=PROTOCOL)
network = partial(protocol, on=scenarios("tanh-network-1/maml/steps-1"))
few = partial(protocol, on=small)


def _a_quadratic(scenario: Scenario) -> bool:
    return scenario.oracle == "quadratic"


def _linear(scenario: Scenario) -> bool:
    return scenario.loss == "linear"


@protocol(
    "∇l = H v − c and its Hessian is H, entries that couple leaves included",
    "MS-BACKEND-1",
    "MS-BACKEND-3",
    on=scenarios("least-squares/maml/steps-1"),
    applies=_a_quadratic,
)
def derivatives_of_a_quadratic(at: LawContext) -> Iterator[Claim]:
    params, batch, u = cast(
        (at.scenario.params, at.scenario.tasks[0].support, parameters(1, at.scenario.params)), np.longdouble
    )
    form = quadratic.form(str(at.scenario.loss), batch)
    yield Equal("gradient", at.gradient(at.task.support), unravel(form.gradient(ravel(params)), params))
    yield Equal("H u", at.product(at.task.support, direction(at, 1)), unravel(np.sum(form.H * ravel(u), axis=1), u))


def _products(at: LawContext) -> dict[str, Callable[[Tree], Tree]]:
    """v ↦ H v on the support set, by either member that gives products."""
    _, kept = at.B.linearize_grad(at.loss)(at.params, at.task.support)
    return {"hvp": lambda v: at.product(at.task.support, v), "linearize_grad": kept}


@network("⟨u, H v⟩ = ⟨v, H u⟩", "MS-BACKEND-3")
def symmetric_hessian(at: LawContext) -> Iterator[Claim]:
    u, v = direction(at, 1), direction(at, 2)
    for name, product in _products(at).items():
        yield Equal(name, dot(at.B, u, product(v)), dot(at.B, v, product(u)))


@network("H (2u − 3v) = 2 H u − 3 H v", "MS-BACKEND-3")
def linear_hessian(at: LawContext) -> Iterator[Claim]:
    B, u, v = at.B, direction(at, 1), direction(at, 2)
    for name, product in _products(at).items():
        apart = subtract(B, scale(B, 2.0, product(u)), scale(B, 3.0, product(v)))
        yield Equal(name, product(subtract(B, scale(B, 2.0, u), scale(B, 3.0, v))), apart)


@few("hvp = linearize_grad = jvp of grad = vjp of grad = ∇⟨∇l, v⟩", "MS-BACKEND-3")
def forms_of_a_product(at: LawContext) -> Iterator[Claim]:
    B, v, batch = at.B, direction(at, 2), at.task.support

    def gradient(x: Tree) -> Tree:
        return B.grad(at.loss)(x, batch)

    wanted = B.grad(lambda x: dot(B, gradient(x), v))(at.params)
    kept_gradient, kept = B.linearize_grad(at.loss)(at.params, batch)
    pushed_gradient, pushed = B.jvp(gradient, (at.params,), (v,))
    pulled_gradient, pull = B.vjp(gradient, at.params)
    yield Equal("hvp", at.product(batch, v), wanted)
    yield Equal("linearize_grad", kept(v), wanted)
    yield Equal("jvp of grad", pushed, wanted)
    yield Equal("vjp of grad", pull(v)[0], wanted)
    yield Equal("value_and_grad", B.value_and_grad(at.loss)(at.params, batch)[1], gradient(at.params))
    yield Equal("values", [kept_gradient, pushed_gradient, pulled_gradient], [gradient(at.params)] * 3)


@few("⟨u, J t⟩ = ⟨Jᵀ u, t⟩", "MS-BACKEND-1", "MS-BACKEND-2")
def duality(at: LawContext) -> Iterator[Claim]:
    B, t, batch = at.B, direction(at, 2), at.task.support

    def f(x: Tree) -> Tree:
        value, gradient = B.value_and_grad(at.loss)(x, batch)
        return {"value": value * value, "gradient": gradient}

    u = {"value": at.array(np.array(0.5)), "gradient": direction(at, 1)}
    pushed = B.jvp(f, (at.params,), (t,))[1]
    _, pull = B.vjp(f, at.params)
    yield Equal("<u, J t>", dot(B, u, pushed), dot(B, pull(u)[0], t))
    yield Same("the pull-back again", pull(u)[0], pull(u)[0])
    yield Equal("the pull-back differentiated", B.grad(lambda u: dot(B, pull(u)[0], t))(u), pushed)


@few("D³((a·x)⁴/24)[u, v] = (a·x) (a·u) (a·v) a", "MS-BACKEND-1", dtypes=ONE_FORMAT)
def third_order(at: LawContext) -> Iterator[Claim]:
    B, (a, u, v) = at.B, (direction(at, seed) for seed in (1, 2, 3))

    def f(x: Tree) -> Array:
        y = dot(B, a, x)
        return y * y * y * y / 24

    def along(f: Callable[[Tree], Array], w: Tree) -> Callable[[Tree], Array]:
        return lambda x: dot(B, B.grad(f)(x), w)

    wanted = scale(B, dot(B, a, at.params) * dot(B, a, u) * dot(B, a, v), a)
    yield Equal("grad of grad of grad", B.grad(along(along(f, u), v))(at.params), wanted)
    yield Equal("grad of hvp", B.grad(lambda x: dot(B, B.hvp(f)(x, u), v))(at.params), wanted)
    yield Equal("hvp of jvp", B.hvp(lambda x: B.jvp(f, (x,), (u,))[1])(at.params, v), wanted)


@few("tanh'''' = (16 t − 24 t³)(1 − t²), t = tanh x", "MS-BACKEND-1", dtypes=ONE_FORMAT)
def fourth_order(at: LawContext) -> Iterator[Claim]:
    B, xp = at.B, at.B.xp

    def derived(f: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return B.grad(lambda x: xp.sum(f(x)))

    derivative: Callable[[Array], Array] = xp.tanh
    for _ in range(4):
        derivative = derived(derivative)
    x = at.array(np.linspace(-1.5, 2.0, 12))  # as many as `elementwise` has
    t = xp.tanh(x)
    yield Equal("tanh''''", derivative(x), (16 * t - 24 * t * t * t) * (1 - t * t))


@few("dⁿ(s(x) xⁿ) = n! s(x), and 0 at every higher order, s = stop_gradient", "MS-BACKEND-2")
def stopped_at_every_order(at: LawContext) -> Iterator[Claim]:
    B, x, v = at.B, at.params, direction(at, 1)
    zero = zeros_like(B, x)

    def once(x: Tree) -> Array:
        return dot(B, B.stop_gradient(x), x)

    def twice(x: Tree) -> Array:
        return dot(B, B.stop_gradient(x), tree_map(B, lambda w: w * w, x))

    yield Equal("first", B.grad(once)(x), x)
    yield Equal("first, second is zero", B.hvp(once)(x, v), zero)
    yield Equal("first, linearized", B.linearize_grad(once)(x)[1](v), zero)
    yield Equal("second", B.hvp(twice)(x, v), tree_map(B, lambda w, d: 2 * w * d, x, v))
    yield Equal("second, third is zero", B.grad(lambda x: dot(B, B.hvp(twice)(x, v), v))(x), zero)
    yield Equal("pushed forward", B.jvp(B.stop_gradient, (x,), (v,))[1], zero)


@law(
    "MAML on ⟨s(∇l(θ)), θ⟩, s = stop_gradient, is FO-MAML on l",
    "MS-BACKEND-2",
    "MS-MAML-1",
    "MS-FOMAML-1",
    on=small,
    applies=algorithm("MAML"),
    dtypes=ONE_FORMAT,
)
def stopped_in_the_loss(at: LawContext) -> Iterator[Claim]:
    def surrogate(theta: Tree, batch: Tree) -> Array:
        return dot(at.B, at.B.stop_gradient(at.B.grad(at.loss)(theta, batch)), theta)

    stopped, first_order = at.meta_gradient(loss=surrogate), at.meta_gradient(FOMAML(at.algorithm.inner))
    yield Equal("delta", stopped.delta, first_order.delta)
    yield Equal("adapted", stopped.adapted, first_order.adapted)


@protocol(
    "∇⟨c, x⟩ = c, and its products are exactly zero",
    "MS-EDGE-3",
    "MS-BACKEND-3",
    on=scenarios("linear-loss/maml"),
    applies=_linear,
)
def linear_functions(at: LawContext) -> Iterator[Claim]:
    B, c, v, batch = at.B, direction(at, 1), direction(at, 2), at.task.support
    zero = zeros_like(B, v)
    yield Same("a constant gradient, whole", B.grad(lambda x: dot(B, c, x))(at.params), c)
    yield Equal("hvp", at.product(batch, v), zero)
    yield Equal("linearize_grad", B.linearize_grad(at.loss)(at.params, batch)[1](v), zero)
    yield Equal("jvp of grad", B.jvp(lambda x: B.grad(at.loss)(x, batch), (at.params,), (v,))[1], zero)
    yield Equal("vjp of grad", B.vjp(lambda x: B.grad(at.loss)(x, batch), at.params)[1](v)[0], zero)
