"""Laws of inner rules: the meta-update is backpropagation through the loop that the rule's formula writes."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import metaspec as ms
from metaspec_conformance.laws.family.written_out import Move, backpropagated, each, loop
from metaspec_conformance.laws.framework.claims import Claim, Equal, Same, raises
from metaspec_conformance.laws.framework.law import ONE_FORMAT, hyphenated, law
from metaspec_conformance.laws.framework.law_context import LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import algorithm, scenarios

Learned = dict[str, Any]
ON = scenarios("tanh-network-1/maml/steps-3")
rule = partial(law, naming=hyphenated("rule/"))


def _zeros(at: LawContext, tree: Tree) -> Tree:
    return each(at, lambda x: 0 * x, tree)


def _momentum(nesterov: bool) -> Callable[[LawContext, Learned], Move]:
    def rule(at: LawContext, learned: Learned) -> Move:
        mu = learned.get("momentum", 0.8)

        def move(theta: Tree, m: Tree, g: Tree, k: int) -> tuple[Tree, Tree]:
            m = g if m is None else each(at, lambda m, g: mu * m + g, m, g)
            ahead = each(at, lambda m, g: g + mu * m, m, g) if nesterov else m
            return each(at, lambda x, d: x - 0.1 * d, theta, ahead), m

        return move

    return rule


def written_adam(b1: float = 0.9, b2: float = 0.99, amsgrad: bool = False) -> Callable[[LawContext, Learned], Move]:
    """Return Adam's formula as a step of a loop; its state is (m, v, the largest v)."""

    def rule(at: LawContext, learned: Learned) -> Move:
        xp, lr, decay = at.B.xp, learned.get("lr", 0.01), learned.get("decay", 0.0)

        def move(theta: Tree, state: Tree, g: Tree, k: int) -> tuple[Tree, Tree]:
            m, v, top = state or (_zeros(at, g),) * 3
            m = each(at, lambda m, g: b1 * m + (1 - b1) * g, m, g)
            v = each(at, lambda v, g: b2 * v + (1 - b2) * g**2, v, g)
            top = each(at, xp.maximum, top, v)

            def moved(x: Any, m: Any, v: Any) -> Any:
                mean, square = m / (1 - b1 ** (k + 1)), v / (1 - b2 ** (k + 1))
                return x - lr * (mean / (xp.sqrt(square) + 1e-3) + decay * x)

            return each(at, moved, theta, m, top if amsgrad else v), (m, v, top)

        return move

    return rule


def _divided(at: LawContext, lr: float, theta: Tree, g: Tree, v: Tree) -> Tree:
    return each(at, lambda x, g, v: x - lr * g / (at.B.xp.sqrt(v) + 1e-3), theta, g, v)


def _rmsprop(at: LawContext, learned: Learned) -> Move:
    rho = learned["rho"]

    def move(theta: Tree, v: Tree, g: Tree, k: int) -> tuple[Tree, Tree]:
        v = each(at, lambda v, g: rho * v + (1 - rho) * g**2, _zeros(at, g) if v is None else v, g)
        return _divided(at, 0.01, theta, g, v), v

    return move


def _adagrad(at: LawContext, learned: Learned) -> Move:
    def move(theta: Tree, v: Tree, g: Tree, k: int) -> tuple[Tree, Tree]:
        v = each(at, lambda v, g: v + g**2, _zeros(at, g) if v is None else v, g)
        return _divided(at, 0.02, theta, g, v), v

    return move


def _adadelta(at: LawContext, learned: Learned) -> Move:
    root = at.B.xp.sqrt

    def move(theta: Tree, state: Tree, g: Tree, k: int) -> tuple[Tree, Tree]:
        v, u = state or (_zeros(at, g),) * 2
        v = each(at, lambda v, g: 0.9 * v + (1 - 0.9) * g**2, v, g)
        d = each(at, lambda g, u, v: g * root(u + 1e-4) / root(v + 1e-4), g, u, v)
        u = each(at, lambda u, d: 0.9 * u + (1 - 0.9) * d**2, u, d)
        return each(at, lambda x, d: x - d, theta, d), (v, u)

    return move


def _clipped_by_norm(at: LawContext, learned: Learned) -> Move:
    step = _momentum(False)(at, {})

    def move(theta: Tree, state: Tree, g: Tree, k: int) -> tuple[Tree, Tree]:
        size = at.B.xp.sqrt(sum(at.B.xp.sum(leaf**2) for leaf in at.B.tree_flatten(g)[0]))
        return step(theta, state, each(at, lambda g: g * learned["max_norm"] / size, g), k)

    return move


def _clipped_by_value(at: LawContext, learned: Learned) -> Move:
    def move(theta: Tree, state: Tree, g: Tree, k: int) -> tuple[Tree, Tree]:
        return each(at, lambda x, g: x - 0.1 * at.B.xp.clip(g, -0.05, 0.05), theta, g), None

    return move


def _decayed(at: LawContext, learned: Learned) -> Move:
    def move(theta: Tree, state: Tree, g: Tree, k: int) -> tuple[Tree, Tree]:
        return each(at, lambda x, g: x - 0.1 * (g + learned["weight_decay"] * x), theta, g), None

    return move


def _scheduled(at: LawContext, learned: Learned) -> Move:
    def move(theta: Tree, state: Tree, g: Tree, k: int) -> tuple[Tree, Tree]:
        return each(at, lambda x, g: x - 0.1 / (k + 1) * g, theta, g), None

    return move


def _rated(at: LawContext, learned: Learned) -> Move:
    """One rate for all, one for each leaf and step, or one for each entry, whichever was learned."""
    rates = learned["lr"]

    def move(theta: Tree, state: Tree, g: Tree, k: int) -> tuple[Tree, Tree]:
        if at.B.is_array(rates):
            return each(at, lambda x, g: x - rates * g, theta, g), None
        return each(at, lambda x, g, r: x - (r if r.shape == x.shape else r[k]) * g, theta, g, rates), None

    return move


def _softplus(at: LawContext, learned: Learned) -> Move:
    rate = at.B.xp.log1p(at.B.xp.exp(learned["lr"]))

    def move(theta: Tree, state: Tree, g: Tree, k: int) -> tuple[Tree, Tree]:
        return each(at, lambda x, g: x - rate * g, theta, g), None

    return move


RULES: dict[str, tuple[str, str, Callable[[int], Any], Callable[[LawContext, Learned], Move]]] = {
    "momentum": (
        "m ← μ m + g, θ ← θ − α m; ∂/∂μ too",
        "MS-RULE-1",
        lambda K: ms.Momentum(0.1, K, ms.Learned(0.8)),
        _momentum(False),
    ),
    "nesterov": (
        "m ← μ m + g, θ ← θ − α (g + μ m)",
        "MS-RULE-1",
        lambda K: ms.Momentum(0.1, K, 0.8, nesterov=True),
        _momentum(True),
    ),
    "adam": (
        "θ ← θ − α m̂ / (√v̂ + ε); ∂/∂α too",
        "MS-RULE-2",
        lambda K: ms.Adam(ms.Learned(0.01), K, b2=0.99, eps=1e-3),
        written_adam(),
    ),
    "amsgrad": (
        "Adam with the largest v so far",
        "MS-RULE-2",
        lambda K: ms.Adam(0.01, K, b1=0.5, b2=0.2, eps=1e-3, amsgrad=True),
        written_adam(0.5, 0.2, amsgrad=True),
    ),
    "adamw": (
        "θ ← θ − α (m̂ / (√v̂ + ε) + c θ); ∂/∂c too",
        "MS-RULE-2",
        lambda K: ms.Adam(0.01, K, b2=0.99, eps=1e-3, decay=ms.Learned(0.1)),
        written_adam(),
    ),
    "rmsprop": (
        "v ← ρ v + (1 − ρ) g², θ ← θ − α g / (√v + ε); ∂/∂ρ too",
        "MS-RULE-3",
        lambda K: ms.RMSProp(0.01, K, ms.Learned(0.9), eps=1e-3),
        _rmsprop,
    ),
    "adagrad": (
        "v ← v + g², θ ← θ − α g / (√v + ε)",
        "MS-RULE-3",
        lambda K: ms.AdaGrad(0.02, K, eps=1e-3),
        _adagrad,
    ),
    "adadelta": (
        "d = g √(u + ε) / √(v + ε), u ← ρ u + (1 − ρ) d², θ ← θ − d",
        "MS-RULE-3",
        lambda K: ms.Adadelta(1.0, K, eps=1e-4),
        _adadelta,
    ),
    "clip-by-norm": (
        "g ← g min(1, c / ‖g‖) before a rule with momentum; ∂/∂c too",
        "MS-RULE-4",
        lambda K: ms.clip_by_norm(ms.Momentum(0.1, K, 0.8), ms.Learned(0.02)),
        _clipped_by_norm,
    ),
    "clip-by-value": (
        "g ← clip(g, −c, c)",
        "MS-RULE-4",
        lambda K: ms.clip_by_value(ms.GradientDescent(0.1, K), 0.05),
        _clipped_by_value,
    ),
    "decay-weights": (
        "g ← g + c θ; ∂/∂c too",
        "MS-RULE-4",
        lambda K: ms.decay_weights(ms.GradientDescent(0.1, K), ms.Learned(0.05)),
        _decayed,
    ),
    "schedule": (
        "θ ← θ − α_k g, α_k = α_0 / (k + 1)",
        "MS-RULE-5",
        lambda K: ms.GradientDescent(lambda k: 0.1 / (k + 1), K),
        _scheduled,
    ),
    "learned-rate": (
        "∂/∂α = −Σ_k ⟨g_k, v_{k+1}⟩",
        "MS-LEARN-1",
        lambda K: ms.GradientDescent(ms.Learned(0.1), K),
        _rated,
    ),
    "meta-sgd": (
        "∂/∂α = −Σ_k g_k ⊙ v_{k+1}, a rate for each entry",
        "MS-LEARN-1",
        lambda K: ms.GradientDescent(ms.Learned(0.1, per="entry"), K),
        _rated,
    ),
    "rates-per-leaf-and-step": (
        "∂/∂α_{k,leaf} = −⟨g_k, v_{k+1}⟩ over the leaf",
        "MS-LEARN-1",
        lambda K: ms.GradientDescent(ms.Learned(0.1, per="leaf", per_step=True), K),
        _rated,
    ),
    "positive-rate": (
        "α = log(1 + eˣ), x learned",
        "MS-LEARN-2",
        lambda K: ms.GradientDescent(ms.Learned(0.1, positive=True), K),
        _softplus,
    ),
}


def _enter(name: str, formula: str, clause: str, rule: Callable[[int], Any], written: Any) -> None:
    @law(formula, clause, on=ON, applies=algorithm("MAML"), dtypes=ONE_FORMAT, naming=lambda _: f"rule/{name}")
    def check(at: LawContext) -> Iterator[Claim]:
        yield from backpropagated(
            at,
            ms.MAML(rule(at.algorithm.inner.steps)),
            lambda phi, learned: at.loss(loop(at, written(at, learned), phi)[-1], at.task.query),
        )


for _name, _row in RULES.items():
    _enter(_name, *_row)


@rule(
    "the rows of a batch are those of each task alone: every task starts with the rule's initial state",
    "MS-RULE-6",
    "MS-BATCH-1",
    on=scenarios("stacked/maml"),
    applies=lambda scenario: False,
    dtypes=ONE_FORMAT,
)
def state_is_each_tasks_own(at: LawContext) -> Iterator[Claim]:
    algo = ms.MAML(ms.Adam(0.01, at.algorithm.inner.steps, eps=1e-3))
    rows = [at.meta_gradient(algo, task=task) for task in at.tasks]
    r = at.batch_meta_gradient(algo)
    yield Equal("adapted", r.adapted, at.B.tree_stack([row.adapted for row in rows]))
    first = at.adapt(algo, support=at.tasks[0].support)
    at.adapt(algo, support=at.tasks[1].support)
    yield Same("again", at.adapt(algo, support=at.tasks[0].support), first)


@rule(
    "θ ← θ − α O I g: the gradient times a learned matrix along each axis; ∂/∂O, ∂/∂I too",
    "MS-RULE-8",
    on=ON,
    applies=algorithm("MAML"),
    dtypes=ONE_FORMAT,
)
def meta_curvature(at: LawContext) -> Iterator[Claim]:
    xp, K = at.B.xp, at.algorithm.inner.steps

    def curved(g: Any, output: Any, inputs: Any) -> Any:
        rows = inputs @ g if inputs.shape[0] else g[None, :]
        return xp.reshape(xp.sum(rows[:, None, :] * output[None, :, :], axis=2), g.shape)

    def objective(phi: Tree, learned: Learned) -> Any:
        def move(theta: Tree, state: Tree, g: Tree, k: int) -> tuple[Tree, Tree]:
            g = each(at, curved, g, learned["output"], learned["input"])
            return each(at, lambda x, g: x - 0.1 * g, theta, g), None

        return at.loss(loop(at, move, phi)[-1], at.task.query)

    algo = ms.MAML(ms.MetaCurvature(ms.GradientDescent(0.1, K)))

    def tilted(x: Any) -> Any:
        n = x.shape[0]
        return x + at.array(np.array([[0.25 * (i - 2 * j) / n for j in range(n)] for i in range(n)])) if n else x

    yield from backpropagated(at, algo, objective, moved=tilted)


@rule(
    "a coordinate whose gradient is zero has a finite meta-update, that of plain descent in it",
    "MS-RULE-7",
    on=ON,
    applies=algorithm("MAML"),
    dtypes=ONE_FORMAT,
)
def zero_gradients(at: LawContext) -> Iterator[Claim]:
    K = at.algorithm.inner.steps
    params = {"used": at.params, "unused": at.array(1.0)}

    def judged(p: Tree, batch: Tree) -> Any:
        return at.loss(p["used"], batch["batch"]) + batch["weight"] * p["unused"] ** 2

    task = ms.Task(
        {"batch": at.task.support, "weight": at.array(0.0)}, {"batch": at.task.query, "weight": at.array(3.0)}
    )
    for rule in (ms.Adam(0.01, K), ms.RMSProp(0.01, K), ms.AdaGrad(0.01, K), ms.Adadelta(1.0, K)):
        delta = at.meta_gradient(ms.MAML(rule), judged, params, task).delta["unused"]
        yield Equal(type(rule).__name__, delta, 6.0 * params["unused"])


@rule(
    "what is learned is asked for by name: bare parameters for a learned rate, or a Meta for a number, are an error",
    "MS-LEARN-3",
    on=ON,
    applies=lambda scenario: False,
    subject="interface",
    numeric=False,
    dtypes=ONE_FORMAT,
)
def meta_or_parameters(at: LawContext) -> Iterator[Claim]:
    error = ms.errors.InvalidArgumentError
    learned, given = ms.MAML(ms.GradientDescent(ms.Learned(0.1), 1)), ms.MAML(ms.GradientDescent(0.1, 1))
    meta = learned.init(at.params, backend=at.B)
    yield raises("bare parameters", error, lambda: at.meta_gradient(learned), "algo.init(params)", "lr")
    yield raises("a Meta", error, lambda: at.meta_gradient(given, params=meta), "lr")
    yield Same("nothing learned", given.init(at.params, backend=at.B), at.params)
