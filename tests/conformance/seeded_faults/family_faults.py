"""The wider family broken on purpose: stateful rules, learned inputs, leaves that stay, shrinkage."""

from typing import Any

import metaspec as ms
from metaspec import trees
from metaspec.algorithms import inner_loop, maml, minibatches, sigma_reptile
from metaspec.api import rule_states
from metaspec.backend import patterns
from metaspec.inner import adaptive, base, continued, learned, meta_curvature, proximal, transforms
from metaspec.training import steps
from metaspec.trees import tree_map, zeros_like
from tests.conformance.seeded_faults.fault import Patch, fault, method, rebind

family = "family"


def _update(patch: Patch, kind: type, change: Any) -> None:
    """`change(original, self, B, theta, state, gradient, k, hyper)` for a rule's update."""
    method(patch, kind, "update", lambda original, self, *args: change(original, self, *args))


@fault(family)
def moments_detached(patch: Patch) -> None:
    """Adam's moments are constants to the chain rule."""
    _update(
        patch,
        ms.Adam,
        lambda f, self, B, theta, state, *rest: f(self, B, theta, B.stop_gradient(state), *rest),
    )


@fault(family)
def bias_corrected_a_step_late(patch: Patch) -> None:
    """1 - b^{k+2} for 1 - b^{k+1}."""
    _update(patch, ms.Adam, lambda f, self, B, theta, s, g, k, hyper: f(self, B, theta, s, g, k + 1, hyper))


@fault(family)
def state_carried_from_task_to_task(patch: Patch) -> None:
    """Adam's moments are those that the last task ended with."""
    last: dict[str, Any] = {}

    def update(f: Any, self: Any, B: Any, theta: Any, state: Any, *rest: Any) -> Any:
        result = f(self, B, theta, state, *rest)
        if all(B.is_concrete(leaf) for leaf in B.tree_flatten(result[1])[0]):
            last["state"] = result[1]
        return result

    _update(patch, ms.Adam, update)
    method(patch, ms.Adam, "init", lambda f, self, B, theta: last.get("state", f(self, B, theta)))


@fault(family)
def carried_count_starts_anew(patch: Patch) -> None:
    """Adam's bias correction counts each task's own steps where the moments are carried."""

    def update(f: Any, self: Any, *args: Any) -> Any:
        return self.rule.update(*args)

    method(patch, continued.Continued, "update", update)


@fault(family)
def given_state_forgotten(patch: Patch) -> None:
    """A task starts afresh where a state was given."""
    method(patch, continued.Continued, "init", lambda f, self, B, theta: self.rule.init(B, theta))


@fault(family)
def state_of_the_first_task(patch: Patch) -> None:
    """What a batch hands on is its first task's state, not the mean."""

    def first(B: Any, r: Any, given: Any) -> Any:
        return r if given is None else r._replace(state=tree_map(B, lambda leaf: leaf[0, ...], r.state))

    rebind(patch, rule_states.mean_state, first)


@fault(family)
def momentum_dampened(patch: Patch) -> None:
    """m <- mu m + (1 - mu) g, a running mean in place of a sum."""

    def update(f: Any, self: Any, B: Any, theta: Any, m: Any, g: Any, k: Any, hyper: Any) -> Any:
        mu = base.coefficients(B, hyper["momentum"], theta)
        return f(self, B, theta, m, tree_map(B, lambda g, mu: (1 - mu) * g, g, mu), k, hyper)

    _update(patch, ms.Momentum, update)


@fault(family)
def nesterov_forgotten(patch: Patch) -> None:
    """Nesterov's step is that of plain momentum."""
    patch(ms.Momentum, "nesterov", property(lambda self: False, lambda self, value: None))


@fault(family)
def largest_square_forgotten(patch: Patch) -> None:
    """AMSGrad divides by the last mean square in place of the largest."""
    patch(ms.Adam, "amsgrad", property(lambda self: False, lambda self, value: None))


@fault(family)
def decay_coupled(patch: Patch) -> None:
    """AdamW's decay goes into the moments, as L2 regularisation would."""

    def update(f: Any, self: Any, B: Any, theta: Any, s: Any, g: Any, k: Any, hyper: Any) -> Any:
        c = base.coefficients(B, hyper["decay"], theta)
        return f(self, B, theta, s, tree_map(B, lambda g, x, c: g + c * x, g, theta, c), k, {**hyper, "decay": 0.0})

    _update(patch, ms.Adam, update)


@fault(family)
def root_not_guarded(patch: Patch) -> None:
    """The root of a zero square has its infinite slope."""
    patch(adaptive, "_root", lambda B, square: B.xp.sqrt(square))


@fault(family)
def epsilon_under_the_root(patch: Patch) -> None:
    """sqrt(v + eps) for sqrt(v) + eps."""

    def divided(B: Any, theta: Any, g: Any, v: Any, lr: Any, eps: Any) -> Any:
        return tree_map(B, lambda x, g, v, lr, eps: x - lr * g / B.xp.sqrt(v + eps), theta, g, v, lr, eps)

    patch(adaptive, "_divided", divided)


@fault(family)
def adadelta_in_units_of_one(patch: Patch) -> None:
    """Adadelta's mean square of steps is never updated."""
    _update(patch, ms.Adadelta, lambda f, self, B, theta, s, *rest: _with_first(f(self, B, theta, s, *rest), s))


def _with_first(result: Any, state: Any) -> Any:
    return result[0], (result[1][0], state[1])


@fault(family)
def gradients_not_clipped(patch: Patch) -> None:
    """Clipping by norm and by value leaves the gradient as it is."""
    for name in ("_clipped_by_norm", "_clipped_by_value"):
        rebind(patch, getattr(transforms, name), lambda B, theta, gradient, limit: gradient)


@fault(family)
def decay_not_differentiated(patch: Patch) -> None:
    """Weight decay counts as a constant to the chain rule."""
    original = transforms._decayed
    rebind(patch, original, lambda B, theta, g, c: original(B, B.stop_gradient(theta), g, B.stop_gradient(c)))


@fault(family)
def schedule_counted_from_one(patch: Patch) -> None:
    """The rate of the step after."""
    original = inner_loop.given_at
    patch(inner_loop, "given_at", lambda B, value, k, steps, theta: original(B, value, k + 1, steps + 1, theta))


@fault(family)
def first_step_misses_from_the_rates_gradient(patch: Patch) -> None:
    """The sum for learned inputs leaves step 0 out."""

    def pull_back(original: Any, self: Any, v: Any, kept: Any) -> Any:
        a, b, sums = original(self, v, kept)
        return a, b, v[2] if isinstance(kept[2], int) and kept[2] == 0 else sums

    method(patch, inner_loop.InnerLoop, "pull_back", pull_back)


@fault(family)
def rates_of_the_first_step(patch: Patch) -> None:
    """Rates for each step: the first step's is used at all."""
    rebind(patch, trees.row, lambda B, x, k: x[0, ...])


@fault(family)
def slope_of_softplus_forgotten(patch: Patch) -> None:
    """The gradient of a positive rate is taken for that of what is learned."""

    def resolve(original: Any, self: Any, B: Any, raw: Any, params: Any, k: Any) -> Any:
        value = original(self, B, raw, params, k)
        if not self.positive:
            return value
        return tree_map(B, lambda v, x: B.stop_gradient(v - x) + x, value, raw)

    method(patch, ms.Learned, "resolve", resolve)


@fault(family)
def groups_merged(patch: Patch) -> None:
    """Every group of leaves has the number of the first."""
    method(patch, ms.Learned, "_groups", lambda f, self, B, params: [min(self.per)] * len(f(self, B, params)))


@fault(family)
def bare_parameters_taken(patch: Patch) -> None:
    """Learned inputs that are missing start anew at each call; a Meta that is too much is opened."""
    original = learned.meta_parts

    def parts(wanted: Any, given: Any, algorithm: str) -> Any:
        if isinstance(given, ms.Meta) != bool(wanted):
            return (given.params if isinstance(given, ms.Meta) else given), {}
        return original(wanted, given, algorithm)

    rebind(patch, original, parts)


@fault(family)
def frozen_leaves_moved(patch: Patch) -> None:
    """Patterns are ignored: all leaves move."""
    original = patterns.Partition.of
    patch(patterns.Partition, "of", classmethod(lambda cls, B, params, patterns, what: original(B, params, None, what)))


@fault(family)
def two_stars_are_one(patch: Patch) -> None:
    """`**` stands for one key."""
    original = patterns._compiled
    patch(patterns, "_compiled", lambda pattern: original(pattern.replace("**", "*")))


@fault(family)
def first_order_where_it_moved_alone(patch: Patch) -> None:
    """FO-MAML's delta is zero in the leaves that stay."""

    def meta_gradient(original: Any, self: Any, B: Any, loss: Any, params: Any, task: Any) -> Any:
        r = original(self, B, loss, params, task)
        parts = patterns.Partition.of(B, r.delta, self.adapt, "adapt")
        moving, staying = parts.split(r.delta)
        return r._replace(delta=parts.join(moving, zeros_like(B, staying)))

    method(patch, ms.FOMAML, "meta_gradient", meta_gradient)


@fault(family)
def cross_term_dropped(patch: Patch) -> None:
    """What stays has the query loss's gradient alone: its share through the inner steps is missing."""

    def pull_back(original: Any, self: Any, v: Any, kept: Any) -> Any:
        a, b, sums = original(self, v, kept)
        return a, b, {**sums, "staying": v[2]["staying"]} if "staying" in sums else sums

    method(patch, inner_loop.InnerLoop, "pull_back", pull_back)


@fault(family)
def context_meta_learned(patch: Patch) -> None:
    """CAVIA's context starts where it was left, and is meta-learned."""
    original = inner_loop.inner_loop
    rebind(patch, original, lambda *args, start=None, **named: original(*args, **named))


@fault(family)
def unmatched_pattern_moves_all(patch: Patch) -> None:
    """A pattern that matches nothing is silently none."""
    original = patterns.matching

    def lenient(B: Any, params: Any, patterns: Any, argument: str) -> Any:
        try:
            return original(B, params, patterns, argument)
        except ms.errors.InvalidArgumentError:
            return list(range(len(B.tree_flatten(params)[0])))

    patch(patterns, "matching", lenient)


@fault(family)
def weights_a_step_late(patch: Patch) -> None:
    """w_{k+1} for w_k along the path."""
    method(patch, maml._Judge, "_weight", lambda f, self, k, value: f(self, k + 1, value) if k else 0.0)


@fault(family)
def weights_in_the_value_alone(patch: Patch) -> None:
    """The weighted losses are summed up, their gradients along the path are not."""
    method(patch, maml._Judge, "_pull_back", lambda f, self, v, kept: _value_alone(f, self, v, kept))


def _value_alone(f: Any, self: Any, v: Any, kept: Any) -> Any:
    return self.loop.pull_back(v[0], kept[0]), f(self, v, kept)[1]


@fault(family)
def truncated_a_step_early(patch: Patch) -> None:
    """backprop_steps = j goes back j - 1 steps."""

    def meta_gradient(original: Any, self: Any, *args: Any) -> Any:
        if self.backprop_steps:
            object.__setattr__(self, "backprop_steps", self.backprop_steps - 1)
        return original(self, *args)

    method(patch, ms.MAML, "meta_gradient", meta_gradient)


@fault(family)
def first_minibatch_for_ever(patch: Patch) -> None:
    """Every step sees the first examples."""
    method(patch, minibatches.Minibatches, "at", lambda f, self, B, batch, k: f(self, B, batch, 0))


@fault(family)
def start_counts_as_a_constant(patch: Patch) -> None:
    """sigma-MAML: the pull towards phi is not differentiated in phi."""

    def meta_update(original: Any, self: Any, v: Any) -> Any:
        inputs = v[2]["inputs"]
        if "start" in inputs:
            inputs = {**inputs, "start": zeros_like(self.B, inputs["start"])}
        return original(self, (v[0], v[1], {**v[2], "inputs": inputs}))

    method(patch, inner_loop.InnerLoop, "meta_update", meta_update)


@fault(family)
def sigma_with_the_wrong_power(patch: Patch) -> None:
    """1 / sigma for 1 / sigma^2."""

    def strength(B: Any, hyper: Any, tree: Any) -> Any:
        name = "sigma" if "sigma" in hyper else "regularization"
        return tree_map(B, lambda s: 1 / s if name == "sigma" else s, base.coefficients(B, hyper[name], tree))

    rebind(patch, proximal.strength, strength)


@fault(family)
def strengths_gradient_with_the_wrong_sign(patch: Patch) -> None:
    """+(theta - phi) w for -(theta - phi) w."""

    def meta_gradient(original: Any, self: Any, B: Any, *args: Any) -> Any:
        r = original(self, B, *args)
        if not isinstance(r.delta, ms.Meta):
            return r
        return r._replace(delta=r.delta._replace(learned=tree_map(B, lambda x: -x, r.delta.learned)))

    method(patch, ms.IMAML, "meta_gradient", meta_gradient)


@fault(family)
def displacement_not_scaled(patch: Patch) -> None:
    """sigma-Reptile's delta is phi - theta, without 1 / sigma^2."""
    patch(sigma_reptile, "strength", lambda B, hyper, tree: tree_map(B, lambda leaf: 1.0, tree))


@fault(family)
def curvature_transposed(patch: Patch) -> None:
    """MetaCurvature multiplies by the transposed matrices."""

    def update(original: Any, self: Any, B: Any, theta: Any, state: Any, gradient: Any, k: Any, hyper: Any) -> Any:
        def turned(name: str) -> Any:
            return tree_map(B, lambda m: B.xp.permute_dims(m, (1, 0)), hyper[name])

        hyper = {**hyper, **{name: turned(name) for name in meta_curvature.FACTORS}}
        return original(self, B, theta, state, gradient, k, hyper)

    method(patch, ms.MetaCurvature, "update", update)


@fault(family)
def start_detached(patch: Patch) -> None:
    """What a start makes of the parameters is a constant to the chain rule, but for what it leaves as it is."""
    original = inner_loop.inner_loop

    def started(B: Any, *args: Any, start: Any = None, **named: Any) -> Any:
        if start is None:
            return original(B, *args, start=None, **named)
        straight = lambda p, s: tree_map(B, lambda x, y: x + B.stop_gradient(y - x), p, start(p, s))  # noqa: E731
        return original(B, *args, start=straight, **named)

    rebind(patch, original, started)


@fault(family)
def steps_all_numbered_zero(patch: Patch) -> None:
    """Every step finds the number 0 in its batch."""
    method(patch, minibatches.Minibatches, "numbered", lambda f, self, batch, k: f(self, batch, 0))


@fault(family)
def schedule_asked_once(patch: Patch) -> None:
    """A schedule of algorithms is that of its first step for ever."""
    method(patch, steps.TrainingPlan, "algorithm_at", lambda f, self, step: f(self, 0))
