"""Algorithms broken on purpose: MAML, FO-MAML, Reptile, and what all of them share."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import metaspec as ms
from metaspec.algorithms import adjoint
from metaspec.algorithms.base import query_gradient, result
from metaspec.algorithms.inner_loop import InnerLoop
from metaspec.losses import lifting
from metaspec.trees import concatenate, scale, subtract, tree_map, zeros_like
from tests.conformance.seeded_faults.fault import Patch, fault, method, rebind

ALGORITHMS = (ms.MAML, ms.FOMAML, ms.Reptile, ms.IMAML)
algorithm = "algorithm"


def walked(
    order: Callable[[list[Any]], Iterable[Any]] = reversed,
    keeps: Callable[[int], bool] = lambda k: True,
    at_start: bool = False,
) -> Any:
    """MAML written out: `order` in which the products are taken, `keeps` step k's product, all taken at phi."""

    def meta_gradient(self: Any, B: Any, loss: Any, params: Any, task: Any) -> Any:
        linearize = B.linearize_grad(lambda theta, batch: loss(theta, batch)[0])
        theta, products, hyper = params, [], {"lr": self.inner.lr}
        for k in range(self.inner.steps):
            gradient, hvp = linearize(theta, task.support)
            products += [linearize(params, task.support)[1] if at_start else hvp] if keeps(k) else []
            theta, _ = self.inner.update(B, theta, None, gradient, k, hyper)
        query_loss, aux, v = query_gradient(B, loss, theta, task)
        for hvp in order(products):
            v = self.inner.pull_back(B, v, hvp, hyper)
        return result(B, v, theta, query_loss, aux)

    return meta_gradient


def changed(patch: Patch, kind: Any, change: Callable[..., Any]) -> None:
    """`change(result, self, B, loss, params, task)` for what an algorithm returns."""

    method(
        patch,
        kind,
        "meta_gradient",
        (
            lambda original, self, B, loss, params, task: change(
                original(self, B, loss, params, task), self, B, loss, params, task
            )
        ),
    )


def with_steps(patch: Patch, steps: Callable[[int], int]) -> None:
    """Another number of inner steps in every algorithm."""

    entered: set[Any] = set()

    def call(original: Any, self: Any, *args: Any) -> Any:
        if original in entered:
            return original(self, *args)
        entered.add(original)
        try:
            return original(replace(self, inner=replace(self.inner, steps=steps(self.inner.steps))), *args)
        finally:
            entered.remove(original)

    for kind in ALGORITHMS:
        for name in ("meta_gradient", "adapt_to"):
            method(patch, kind, name, call)


@fault(algorithm, 1, margin=True)
def maml_without_hessian(patch: Patch) -> None:
    """MAML returns FO-MAML's meta-update."""
    patch(ms.MAML, "meta_gradient", ms.FOMAML.meta_gradient)


@fault(algorithm, 2, margin=True)
def first_order_flag_ignored(patch: Patch) -> None:
    """FO-MAML returns MAML's meta-update."""
    patch(ms.FOMAML, "meta_gradient", walked())


@fault(algorithm, 3, margin=True)
def maml_detached_after_first_step(patch: Patch) -> None:
    """MAML's chain has the product of the first step alone."""
    patch(ms.MAML, "meta_gradient", walked(keeps=lambda k: k == 0))


@fault(algorithm, 3, margin=True)
def maml_start_not_differentiated(patch: Patch) -> None:
    """MAML's chain leaves the product of the first step out."""
    patch(ms.MAML, "meta_gradient", walked(keeps=lambda k: k > 0))


@fault(algorithm, margin=True)
def maml_path_walked_forwards(patch: Patch) -> None:
    """MAML multiplies along the path where it must go backwards."""
    patch(ms.MAML, "meta_gradient", walked(order=list))


@fault(algorithm, margin=True)
def maml_products_at_the_start(patch: Patch) -> None:
    """MAML takes every Hessian at phi."""
    patch(ms.MAML, "meta_gradient", walked(at_start=True))


@fault(algorithm, 19, margin=True)
def maml_gives_zero(patch: Patch) -> None:
    """The query loss is not differentiated in phi: MAML's meta-update is zero."""
    changed(patch, ms.MAML, lambda r, self, B, *_: r._replace(delta=zeros_like(B, r.delta)))


@fault(algorithm, 1)
def meta_update_detached(patch: Patch) -> None:
    """Nothing can be differentiated through a meta-update: its derivatives are zero."""
    for kind in (ms.MAML, ms.FOMAML):
        changed(patch, kind, lambda r, self, B, *_: r._replace(delta=B.stop_gradient(r.delta)))


@fault(algorithm, margin=True)
def fomaml_at_the_start(patch: Patch) -> None:
    """FO-MAML takes the query gradient at phi."""

    def start(r: Any, self: Any, B: Any, loss: Any, params: Any, task: Any) -> Any:
        return r._replace(delta=query_gradient(B, loss, params, task)[2])

    changed(patch, ms.FOMAML, start)


@fault(algorithm, 5, margin=True)
def reptile_on_support_alone(patch: Patch) -> None:
    """Reptile's inner loop leaves the query set out."""
    patch(ms.Reptile, "inner_batch", lambda self, B, task: task.support)


@fault(algorithm, 5)
def reptile_adapts_on_the_query(patch: Patch) -> None:
    """Reptile's inner loop sees the query set twice, the support set never."""
    patch(ms.Reptile, "inner_batch", lambda self, B, task: concatenate(B, task.query, task.query))


@fault(algorithm, margin=True)
def reptile_negated(patch: Patch) -> None:
    """Reptile returns theta_K - phi: training goes uphill."""
    changed(patch, ms.Reptile, lambda r, self, B, *_: r._replace(delta=scale(B, -1.0, r.delta)))


@fault(algorithm, 6, margin=True)
def reptile_divided_by_steps(patch: Patch) -> None:
    """One more 1/K in Reptile's meta-update."""
    changed(patch, ms.Reptile, lambda r, self, B, *_: r._replace(delta=scale(B, 1 / max(1, self.inner.steps), r.delta)))


@fault(algorithm, margin=True)
def reptile_divided_by_the_rate(patch: Patch) -> None:
    """Reptile returns (phi - theta_K) / alpha."""

    def divided(r: Any, self: Any, B: Any, *_: Any) -> Any:
        return r._replace(delta=scale(B, 1 / self.inner.lr, r.delta)) if isinstance(self.inner.lr, float) else r

    changed(patch, ms.Reptile, divided)


@fault(algorithm, 4, margin=True)
def one_step_fewer(patch: Patch) -> None:
    """K - 1 steps for K."""
    with_steps(patch, lambda steps: max(0, steps - 1))


@fault(algorithm, 4, margin=True)
def one_step_whatever_was_asked(patch: Patch) -> None:
    """One inner step, whatever K."""
    with_steps(patch, lambda steps: min(1, steps))


@fault(algorithm, 5, margin=True)
def support_and_query_exchanged(patch: Patch) -> None:
    """Adapts on the query set and is judged on the support set."""
    for kind in ALGORITHMS:

        def call(original: Any, self: Any, B: Any, loss: Any, params: Any, task: Any) -> Any:
            swapped = task if task.query is None else ms.Task(task.query, task.support)
            return original(self, B, loss, params, swapped)

        method(patch, kind, "meta_gradient", call)


@fault(algorithm, 5, margin=True)
def judged_on_the_support_set(patch: Patch) -> None:
    """The support loss stands for the query loss."""
    original = query_gradient
    rebind(patch, original, lambda B, loss, theta, task: original(B, loss, theta, task._replace(query=task.support)))


@fault(algorithm, 7, margin=True)
def loss_summed_over_examples(patch: Patch) -> None:
    """The loss times the number of examples: a sum where the mean was asked for."""
    original = lifting.lift_loss

    def lift(B: Any, loss: Any, has_aux: bool) -> Any:
        lifted = original(B, loss, has_aux)

        def summed(params: Any, batch: Any) -> Any:
            value, aux = lifted(params, batch)
            examples = next((leaf.shape[0] for leaf in B.tree_flatten(batch)[0] if getattr(leaf, "shape", ())), 1)
            return value * examples / 4, aux

        return summed

    rebind(patch, original, lift)


@fault(algorithm)
def query_loss_at_the_start(patch: Patch) -> None:
    """The query loss that is reported is that of phi, not of theta_K."""

    def start(r: Any, self: Any, B: Any, loss: Any, params: Any, task: Any) -> Any:
        return r._replace(query_loss=loss(params, task.support if task.query is None else task.query)[0])

    for kind in ALGORITHMS:
        changed(patch, kind, start)


@fault(algorithm)
def adapted_one_step_early(patch: Patch) -> None:
    """`adapted` is theta_{K-1}, while the meta-update is right."""

    def early(r: Any, self: Any, B: Any, loss: Any, params: Any, task: Any) -> Any:
        shorter = replace(self, inner=replace(self.inner, steps=max(0, self.inner.steps - 1)))
        return r._replace(adapted=shorter.adapt_to(B, loss, params, self.inner_batch(B, task)))

    for kind in ALGORITHMS:
        changed(patch, kind, early)


@fault(algorithm, 14)
def not_a_number(patch: Patch) -> None:
    """FO-MAML's meta-update is NaN."""
    changed(patch, ms.FOMAML, lambda r, self, B, *_: r._replace(delta=tree_map(B, lambda x: x * float("nan"), r.delta)))


@fault(algorithm)
def empty_query_replaced(patch: Patch) -> None:
    """An empty query set is silently replaced by the support set, in MAML too."""
    original = query_gradient

    def replaced(B: Any, loss: Any, theta: Any, task: Any) -> Any:
        return original(B, loss, theta, task._replace(query=task.support) if task.query is None else task)

    rebind(patch, original, replaced)


@fault(algorithm)
def adapt_on_everything_twice(patch: Patch) -> None:
    """`adapt` goes on for another K steps from where it was."""
    method(patch, InnerLoop, "end", lambda original, self: original(replace(self, params=original(self)[0])))


@fault(algorithm, margin=True)
def reptile_gradient_doubled(patch: Patch) -> None:
    """Reptile's inner gradient is the sum of support's and query's where their mean was meant."""

    def meta_gradient(self: Any, B: Any, loss: Any, params: Any, task: Any) -> Any:
        def doubled(theta: Any, batch: Any) -> Any:
            value, aux = loss(theta, batch)
            return 2.0 * value, aux

        theta = self.adapt_to(B, doubled, params, self.inner_batch(B, task))
        value, aux = loss(theta, task.support if task.query is None else task.query)
        return result(B, subtract(B, params, theta), theta, value, aux)

    patch(ms.Reptile, "meta_gradient", meta_gradient)


@fault(algorithm, 3)
def recomputed_from_the_next_point(patch: Patch) -> None:
    """A segment that is run again starts one step too far."""
    original = adjoint._segment_vjp
    patch(adjoint, "_segment_vjp", lambda B, step, start, *rest: original(B, step, step.advance(start), *rest))


@fault(algorithm, 3)
def recomputed_stretch_not_pulled_back(patch: Patch) -> None:
    """The segments that are run again have no part in the cotangent."""
    patch(adjoint, "_segment_vjp", lambda B, step, start, steps, v, lengths: v)
