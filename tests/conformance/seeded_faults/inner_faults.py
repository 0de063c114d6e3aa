"""Inner loops broken on purpose."""

from dataclasses import is_dataclass, replace
from typing import Any

import metaspec as ms
from metaspec.algorithms.inner_loop import InnerLoop
from metaspec.inner import base
from metaspec.inner import gradient_descent as core
from metaspec.trees import add_scaled, scale, subtract, tree_map
from tests.conformance.seeded_faults.algorithm_faults import ALGORITHMS
from tests.conformance.seeded_faults.fault import Patch, fault, method, rebind

inner = "inner loop"


def _of_the_gradient(patch: Patch, change: Any) -> None:
    """`change(B, gradient)` for the gradient that a step takes."""
    method(
        patch,
        ms.GradientDescent,
        "update",
        lambda original: (
            lambda self, B, theta, state, gradient, k, hyper: original(
                self, B, theta, state, change(B, gradient), k, hyper
            )
        ),
    )


@fault(inner, margin=True)
def uphill(patch: Patch) -> None:
    """theta + alpha g: the inner loop goes uphill, the pull-back as if it went down."""
    _of_the_gradient(patch, lambda B, g: scale(B, -1.0, g))


@fault(inner, 16, margin=True)
def first_leaf_alone(patch: Patch) -> None:
    """A step moves the first leaf and no other."""

    def first(B: Any, gradient: Any) -> Any:
        leaves, structure = B.tree_flatten(gradient)
        return B.tree_unflatten(structure, [leaf if i == 0 else 0 * leaf for i, leaf in enumerate(leaves)])

    _of_the_gradient(patch, first)


@fault(inner, margin=True)
def gradient_normalized(patch: Patch) -> None:
    """A step's gradient is divided by 1 + its largest entry: clipping that nobody asked for."""

    def clipped(B: Any, gradient: Any) -> Any:
        return tree_map(B, lambda g: g / (1 + B.xp.max(B.xp.abs(g))) if 0 not in g.shape else g, gradient)

    _of_the_gradient(patch, clipped)


@fault(inner, margin=True)
def weights_decay(patch: Patch) -> None:
    """A step shrinks the parameters by a hundredth on the way."""
    method(
        patch,
        ms.GradientDescent,
        "update",
        lambda original, self, B, *args: (scale(B, 0.99, original(self, B, *args)[0]), None),
    )


@fault(inner, margin=True)
def rates_of_the_first_leaf(patch: Patch) -> None:
    """The first leaf's rate of a tree is used for all leaves."""

    def scaled(B: Any, lr: Any, x: Any) -> Any:
        return scale(B, float(B.to_numpy(B.tree_flatten(lr)[0][0])) if not isinstance(lr, float) else lr, x)

    patch(core, "_scaled", scaled)


@fault(inner)
def rates_on_the_wrong_side(patch: Patch) -> None:
    """(I - R H) v for (I - H R) v: wrong as soon as the rates differ."""
    patch(
        ms.GradientDescent,
        "pull_back",
        lambda self, B, v, hvp, hyper: subtract(B, v, core._scaled(B, hyper["lr"], hvp(v))),
    )


@fault(inner, margin=True)
def pull_back_with_the_wrong_sign(patch: Patch) -> None:
    """(I + alpha H) v for (I - alpha H) v."""
    patch(
        ms.GradientDescent,
        "pull_back",
        lambda self, B, v, hvp, hyper: add_scaled(B, v, 1.0, hvp(core._scaled(B, hyper["lr"], v))),
    )


@fault(inner, dtype="float32")
def rate_widens_the_parameters(patch: Patch) -> None:
    """The rate is a float64 array, and so are then float32 parameters after a step."""

    def widened(self: Any, B: Any, theta: Any, gradient: Any) -> Any:
        wide = B.xp.float64
        return tree_map(B, lambda t, g: t - B.xp.asarray(self.lr, dtype=wide) * B.xp.astype(g, wide), theta, gradient)

    method(
        patch,
        ms.GradientDescent,
        "update",
        lambda original: (
            lambda self, B, theta, state, gradient, *rest: (
                (widened(self, B, theta, gradient), None)
                if isinstance(self.lr, float)
                else original(self, B, theta, state, gradient, *rest)
            )
        ),
    )


@fault(inner)
def negative_rates_accepted(patch: Patch) -> None:
    """A negative or infinite rate is no error."""
    rebind(patch, base.checked_number, lambda value, *_: float(value))


@fault(inner, 15)
def starts_where_the_last_task_ended(patch: Patch) -> None:
    """The inner loop starts where that of the last task ended, where phi is the same."""
    last: dict[Any, Any] = {}

    def end(original: Any, self: Any) -> Any:
        B = self.B
        leaves, structure = B.tree_flatten(self.params)
        if not all(B.is_concrete(leaf) for leaf in [*leaves, *B.tree_flatten(self.batch(0))[0]]):
            return original(self)
        key = structure, *(B.to_numpy(leaf).tobytes() for leaf in leaves)
        theta, state = original(replace(self, params=last.get(key, self.params)))
        if all(B.is_concrete(leaf) for leaf in B.tree_flatten(theta)[0]):
            last[key] = theta
        return theta, state

    method(patch, InnerLoop, "end", end)


@fault(inner, 15)
def momentum_leaks_between_tasks(patch: Patch) -> None:
    """A velocity that is kept outside of the loop: the first step of a task still rolls on from the last task's."""
    velocity: dict[Any, Any] = {}

    def update(original: Any, self: Any, B: Any, theta: Any, state: Any, gradient: Any, *rest: Any) -> Any:
        leaves, structure = B.tree_flatten(gradient)
        if not all(B.is_concrete(leaf) for leaf in leaves):
            return original(self, B, theta, state, gradient, *rest)
        key = structure, *(leaf.shape for leaf in leaves)
        rolling = add_scaled(B, gradient, 0.5, velocity[key]) if key in velocity else gradient
        velocity[key] = gradient
        return original(self, B, theta, state, rolling, *rest)

    method(patch, ms.GradientDescent, "update", update)


@fault(inner)
def rate_decays_with_the_calls(patch: Patch) -> None:
    """The rate falls by a thousandth with each call of the process: a schedule that counts globally."""
    calls = [0]

    def meta_gradient(original: Any, self: Any, *args: Any) -> Any:
        calls[0] += 1
        if is_dataclass(self.inner) and isinstance(self.inner.lr, float):
            self = replace(self, inner=replace(self.inner, lr=self.inner.lr * 0.999 ** (calls[0] - 1)))
        return original(self, *args)

    for kind in ALGORITHMS:
        method(patch, kind, "meta_gradient", meta_gradient)
