"""Laws of limits, each with its remainder: no steps, no rate, no curvature, one step, a strong pull, many steps."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from metaspec.algorithms import FOMAML, IMAML, MAML
from metaspec.inner.gradient_descent import GradientDescent
from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.task import Task
from metaspec.trees import add, add_scaled, divide, dot, norm, scale, subtract, zeros_like
from metaspec_conformance.judging.numpy_trees import cast, leaves, tree_map
from metaspec_conformance.laws.algorithms.chain_laws import scaled
from metaspec_conformance.laws.algorithms.implicit_laws import system
from metaspec_conformance.laws.framework.claims import Claim, Equal, Same, Within
from metaspec_conformance.laws.framework.law import law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import algorithm, nowhere, scenarios
from metaspec_conformance.scenarios.scenario import Scenario


def _judged_on_query(scenario: Scenario) -> bool:
    return scenario.tasks[0].query is not None


def joint_gradient(at: LawContext) -> Tree:
    """∇l(φ; S ∪ Q) = (|S| ∇l(φ; S) + |Q| ∇l(φ; Q)) / (|S| + |Q|)."""
    m, n = (len(leaves(batch)[0]) for batch in at.scenario.tasks[0])
    both = [scale(at.B, float(k), at.gradient(batch)) for k, batch in zip((m, n), at.task, strict=True)]
    return divide(at.B, add(at.B, *both), float(m + n))


@law(
    "K = 0: θ_K = φ; MAML = FO-MAML = ∇l(φ; Q); Reptile = 0; iMAML solves at φ: ⟨g, (I + H(φ)/λ) Δ⟩ = ⟨g, g⟩",
    "MS-EDGE-1",
    "MS-INNER-1",
    on=scenarios("tanh-network-1/{}/steps-1"),
    applies=_judged_on_query,
)
def no_steps(at: LawContext) -> Iterator[Claim]:
    r = at.meta_gradient(at.inner(steps=0))
    g = at.gradient(at.task.query)
    yield Same("adapted", r.adapted, at.params)
    yield Equal("query_loss", r.query_loss, at.loss(at.params, at.task.query))
    if at.scenario.algorithm_name == "Reptile":
        yield Same("delta", r.delta, zeros_like(at.B, at.params))
    elif at.scenario.algorithm_name == "IMAML":
        yield Equal("<g, M delta>", dot(at.B, g, system(at, at.params, r.delta)), dot(at.B, g, g))
    else:
        yield Equal("delta", r.delta, g)


@law(
    "α = 0: any number of steps is none",
    "MS-INNER-1",
    "MS-EDGE-1",
    on=scenarios("tanh-network-1/{}/steps-3"),
    applies=_judged_on_query,
)
def no_rate(at: LawContext) -> Iterator[Claim]:
    still, none = at.meta_gradient(at.inner(lr=0.0)), at.meta_gradient(at.inner(steps=0))
    yield Equal("delta", still.delta, none.delta)
    yield Equal("adapted", still.adapted, none.adapted)


@law(
    "l linear: MAML = FO-MAML to the last bit, iMAML's Δ = ∇l(Q)/(1 + γ), and H v = 0 exactly",
    "MS-EDGE-3",
    "MS-BACKEND-3",
    on=scenarios("linear-loss/maml", "linear-loss/imaml"),
    applies=lambda scenario: scenario.loss == "linear" and algorithm("MAML", "FOMAML", "IMAML")(scenario),
)
def no_curvature(at: LawContext) -> Iterator[Claim]:
    query = cast(at.scenario.tasks[0].query, np.longdouble)
    damping = getattr(getattr(at.algorithm, "solver", None), "damping", 0.0)
    mean = [np.mean(leaf, axis=0) / (1 + np.longdouble(damping)) for leaf in leaves(query)]
    yield Equal("H v", at.product(at.task.support, at.params), zeros_like(at.B, at.params))
    yield Equal("delta", at.B.tree_flatten(at.meta_gradient().delta)[0], mean)
    if at.scenario.algorithm_name != "IMAML":
        inner = at.algorithm.inner
        yield Same("first order", at.meta_gradient(MAML(inner)).delta, at.meta_gradient(FOMAML(inner)).delta)


@law(
    "K = 1: Δ = R ∇l(φ; S ∪ Q), the rates times the gradient of joint training",
    "MS-REPTILE-1",
    on=scenarios("least-squares/reptile/steps-1", "tanh-network-1/reptile/steps-1"),
    applies=lambda scenario: algorithm("Reptile")(scenario) and _judged_on_query(scenario),
)
def one_step_of_reptile(at: LawContext) -> Iterator[Claim]:
    yield Equal("delta", at.meta_gradient(at.inner(steps=1)).delta, scaled(at, joint_gradient(at)))


@law(
    "dΔ/dα at α = 0: −K (H_S g_Q + H_Q g_S) of MAML, −K H_Q g_S of FO-MAML; so MAML − FO-MAML = −αK H_S g_Q + O(α²)",
    "MS-MAML-1",
    "MS-FOMAML-1",
    "MS-BACKEND-1",
    on=scenarios("tanh-network-1/maml/steps-3", "tanh-network-1/fomaml/steps-3"),
    applies=algorithm("MAML", "FOMAML"),
    dtypes=("float64",),
)
def small_rate(at: LawContext) -> Iterator[Claim]:
    g_support, g_query = at.gradient(at.task.support), at.gradient(at.task.query)
    change = at.product(at.task.query, g_support)
    if at.scenario.algorithm_name == "MAML":
        change = add(at.B, change, at.product(at.task.support, g_query))
    slope = slope_in_rate(at, lambda rate: at.meta_gradient(at.inner(lr=rate)).delta)
    yield Equal("slope", slope, scale(at.B, -float(at.algorithm.inner.steps), change))


def slope_in_rate(at: LawContext, f: Callable[[Array], Tree]) -> Tree:
    """df/dα at α = 0."""
    nought, one = at.array(np.asarray(0.0)), at.array(np.asarray(1.0))
    return at.B.jvp(f, (nought,), (one,))[1]


@law(
    "α = 1/λ: θ_2 = φ − ∇l(φ)/λ + A∇l(φ)/λ²; Δ = g − Ag/λ + r with ‖r‖ ≤ ‖A²g‖/λ², g = ∇l(θ_2; Q); λ → ∞: Δ → ∇l(φ; Q)",
    "MS-IMAML-1",
    on=scenarios("least-squares/imaml/steps-3"),
    applies=nowhere,
)
def strong_pull(at: LawContext) -> Iterator[Claim]:
    strength = 16.0  # the curvature is at most 1
    imaml = IMAML(GradientDescent(1 / strength, 2), strength, ConjugateGradient(steps=6))
    r = at.meta_gradient(imaml)
    first = at.gradient(at.task.support)
    back = subtract(at.B, divide(at.B, at.product(at.task.support, first), strength), first)
    yield Equal("adapted", r.adapted, add_scaled(at.B, at.params, 1 / strength, back))
    g = at.gradient(at.task.query, r.adapted)
    Ag = at.product(at.task.support, g)
    left_out = divide(at.B, at.product(at.task.support, Ag), strength**2)
    expansion = subtract(at.B, g, divide(at.B, Ag, strength))
    yield Within("delta", r.delta, expansion, float(at.B.to_numpy(norm(at.B, left_out))))


@law(
    "MAML through l + λ/2 ‖θ − φ‖², whose centre φ moves along: Δ = Δ_iMAML + (I − α(A + λI))^K (g − Δ_iMAML), "
    "so → Δ_iMAML as K → ∞",
    "MS-IMAML-1",
    "MS-MAML-1",
    "MS-INNER-2",
    on=scenarios("least-squares/imaml/dense"),
    applies=nowhere,
    dtypes=("float64",),
)
def many_proximal_steps(at: LawContext) -> Iterator[Claim]:
    imaml, inner = at.algorithm, at.algorithm.inner
    rates = {
        part: tree_map(lambda leaf, rate=rate: np.asarray(rate), at.scenario.params)
        for part, rate in (("task", inner.lr), ("centre", 0.0))
    }
    support, query = (
        {"data": batch, "strength": at.array(np.asarray(strength))}
        for batch, strength in zip(at.task, (imaml.regularization, 0.0), strict=True)
    )
    r = at.meta_gradient(
        MAML(replace(inner, lr=at.array(rates))),
        lambda params, batch: pulled(at, at.loss, params, batch),
        {"task": at.params, "centre": at.params},
        Task(support, query),
    )
    implicit = at.meta_gradient()
    g = at.gradient(at.task.query, implicit.adapted)
    short = subtract(at.B, g, implicit.delta)
    for _ in range(inner.steps):
        curved = add_scaled(at.B, at.product(at.task.support, short), imaml.regularization, short)
        short = add_scaled(at.B, short, -inner.lr, curved)
    yield Equal("adapted", r.adapted["task"], implicit.adapted)
    yield Equal("delta", add(at.B, r.delta["task"], r.delta["centre"]), add(at.B, implicit.delta, short))


def pulled(at: LawContext, loss: Callable[[Tree, Tree], Array], params: Tree, batch: Tree) -> Array:
    """l(task) + strength/2 ‖task − centre‖², task and centre both parameters."""
    moved = subtract(at.B, params["task"], params["centre"])
    return loss(params["task"], batch["data"]) + 0.5 * batch["strength"] * dot(at.B, moved, moved)
