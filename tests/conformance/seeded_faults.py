"""Adapters, algorithms and solvers broken on purpose, as targets "seeded_faults:worker_NAME" and in process.

Each fault takes `patch(object, attribute, value)` and returns the backend to compute with.
"""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy

import metaspec as ms
from metaspec import api, inner, solvers
from metaspec.algorithms import imaml, maml, reptile
from metaspec.backends.numpy.adapter import NumpyBackend
from metaspec.backends.numpy.tracer import PRIMITIVES
from metaspec.backends.numpy.tracer.rules.structure import matrix_transpose
from metaspec.protocol import Backend
from metaspec.trees import add_scaled, dot, scale, subtract, tree_map, zeros_like

Patch = Callable[[Any, str, Any], None]
Fault = Callable[[Patch], Backend]
ALGORITHMS = (ms.MAML, ms.FOMAML, ms.Reptile, ms.IMAML)


def sound(patch: Patch) -> Backend:
    return NumpyBackend()


def maml_without_hessian(patch: Patch) -> Backend:
    patch(ms.MAML, "meta_gradient", ms.FOMAML.meta_gradient)
    return NumpyBackend()


def maml_detached_after_first_step(patch: Patch) -> Backend:
    original = ms.GradientDescent.pull_back
    calls = [0]

    def pull_back(self, B, v, hvp):
        calls[0] += 1
        return original(self, B, v, hvp) if calls[0] % self.steps == 0 else v

    patch(ms.GradientDescent, "pull_back", pull_back)
    return NumpyBackend()


def maml_path_walked_forwards(patch: Patch) -> Backend:
    patch(maml, "reversed", lambda products: products)
    return NumpyBackend()


def fomaml_at_the_start(patch: Patch) -> Backend:
    original = ms.FOMAML.meta_gradient

    def meta_gradient(self, B, loss, params, task):
        start = original(replace(self, inner=replace(self.inner, steps=0)), B, loss, params, task)
        return original(self, B, loss, params, task)._replace(delta=start.delta)

    patch(ms.FOMAML, "meta_gradient", meta_gradient)
    return NumpyBackend()


def reptile_on_support_alone(patch: Patch) -> Backend:
    patch(ms.Reptile, "inner_batch", lambda self, B, task: task.support)
    return NumpyBackend()


def reptile_mean_of_two_gradients(patch: Patch) -> Backend:
    """The sum where the mean over all examples was meant."""
    original = inner.descend

    def descend(B, optimizer, gradient, params):
        return original(B, optimizer, lambda theta: scale(B, 2.0, gradient(theta)), params)

    patch(reptile, "descend", descend)
    return NumpyBackend()


def reptile_negated(patch: Patch) -> Backend:
    patch(reptile, "subtract", lambda B, x, y: subtract(B, y, x))
    return NumpyBackend()


def imaml_proximal_term_dropped(patch: Patch) -> Backend:
    patch(ms.IMAML, "adapt", ms.MAML.adapt)
    return NumpyBackend()


def imaml_identity_missing(patch: Patch) -> Backend:
    patch(imaml, "add", lambda B, v, product: product)
    return NumpyBackend()


def imaml_regularization_inverted(patch: Patch) -> Backend:
    """I + lambda H for I + H / lambda."""
    original = NumpyBackend.linear_solve

    class Inverted(NumpyBackend):
        def linear_solve(self, matvec, b, solver, x0=None):
            product = lambda v: add_scaled(self, v, 4.0, subtract(self, matvec(v), v))  # noqa: E731
            return original(self, product, b, solver, x0)

    return Inverted()


def imaml_never_solved(patch: Patch) -> Backend:
    class Unsolved(NumpyBackend):
        def linear_solve(self, matvec, b, solver, x0=None):
            return super().linear_solve(matvec, b, solver, x0)._replace(x=b)

    return Unsolved()


def cg_old_residual(patch: Patch) -> Backend:
    """The search direction from the residual of the step before."""

    def solve(self, B, matvec, b, x0=None):
        x, r = zeros_like(B, b), b
        p, rr = r, dot(B, r, r)
        for _ in range(self.steps):
            Ap = add_scaled(B, matvec(p), self.damping, p)
            alpha = solvers._ratio(B, rr > 0, rr, dot(B, p, Ap))
            x = add_scaled(B, x, alpha, p)
            old, r = r, add_scaled(B, r, -alpha, Ap)
            following = dot(B, r, r)
            p = add_scaled(B, old, solvers._ratio(B, rr > 0, following, rr), p)
            rr = following
        zero = B.xp.astype(B.xp.zeros_like(rr), B.xp.int32)
        return ms.Solution(x, zero, zero, rr)

    patch(ms.ConjugateGradient, "solve", solve)
    return NumpyBackend()


def cg_one_step_short(patch: Patch) -> Backend:
    original = ms.ConjugateGradient.solve

    def solve(self, B, matvec, b, x0=None):
        if self.steps == 1:
            return original(self, B, matvec, b, x0)._replace(x=zeros_like(B, b))
        return original(replace(self, steps=max(self.steps - 1, 1)), B, matvec, b, x0)

    patch(ms.ConjugateGradient, "solve", solve)
    return NumpyBackend()


def damping_ignored(patch: Patch) -> Backend:
    patch(solvers, "_damped", lambda B, matvec, damping: matvec)
    return NumpyBackend()


def one_step_fewer(patch: Patch) -> Backend:
    for algorithm in ALGORITHMS:
        for name in ("meta_gradient", "adapt"):
            patch(algorithm, name, _with_fewer_steps(getattr(algorithm, name)))
    return NumpyBackend()


def _with_fewer_steps(original: Any) -> Any:
    entered = [False]

    def call(self, *args):
        if entered[0]:
            return original(self, *args)
        entered[0] = True
        try:
            return original(replace(self, inner=replace(self.inner, steps=max(0, self.inner.steps - 1))), *args)
        finally:
            entered[0] = False

    return call


def support_and_query_exchanged(patch: Patch) -> Backend:
    for algorithm in ALGORITHMS:
        original = algorithm.meta_gradient

        def call(self, B, loss, params, task, original=original):
            exchanged = task if task.query is None else ms.Task(task.query, task.support)
            return original(self, B, loss, params, exchanged)

        patch(algorithm, "meta_gradient", call)
    return NumpyBackend()


def sum_over_tasks(patch: Patch) -> Backend:
    patch(api, "mean0", lambda B, x: tree_map(B, lambda leaf: B.xp.sum(leaf, axis=0), x))
    return NumpyBackend()


def state_leaks_between_tasks(patch: Patch) -> Backend:
    class Leaking(NumpyBackend):
        def vmap(self, f):
            def mapped(*args):
                if not isinstance(args[0], ms.Task):
                    return NumpyBackend.vmap(self, f)(*args)
                first = tree_map(self, lambda leaf: numpy.stack([leaf[0]] * len(leaf)), args)
                return NumpyBackend.vmap(self, f)(*first)

            return mapped

    return Leaking()


def leaves_exchanged(patch: Patch) -> Backend:
    """Gradients of two leaves of equal shape change places."""

    class Exchanged(NumpyBackend):
        def value_and_grad(self, f, has_aux=False):
            def wrapped(x, *args):
                value, gradient = NumpyBackend.value_and_grad(self, f, has_aux)(x, *args)
                leaves, structure = self.tree_flatten(gradient)
                shapes = [leaf.shape for leaf in leaves]
                for i, shape in enumerate(shapes):
                    if shape in shapes[:i]:
                        j = shapes.index(shape)
                        leaves[i], leaves[j] = leaves[j], leaves[i]
                        break
                return value, self.tree_unflatten(structure, leaves)

            return wrapped

    return Exchanged()


def first_leaf_alone(patch: Patch) -> Backend:
    def update(self, B, theta, gradient):
        leaves, structure = B.tree_flatten(gradient)
        leaves = [leaf if i == 0 else 0 * leaf for i, leaf in enumerate(leaves)]
        return subtract(B, theta, self._scaled(B, B.tree_unflatten(structure, leaves)))

    patch(ms.GradientDescent, "update", update)
    return NumpyBackend()


def half_the_product(patch: Patch) -> Backend:
    class Half(NumpyBackend):
        def linearize_grad(self, f):
            def linearize(x, *args):
                gradient, product = NumpyBackend.linearize_grad(self, f)(x, *args)
                return gradient, lambda v: scale(self, 0.5, product(v))

            return linearize

    return Half()


def product_by_coarse_differences(patch: Patch) -> Backend:
    class Differences(NumpyBackend):
        def linearize_grad(self, f):
            def linearize(x, *args):
                def product(v):
                    ahead = self.grad(f)(add_scaled(self, x, 0.25, v), *args)
                    behind = self.grad(f)(x, *args)
                    return scale(self, 4.0, subtract(self, ahead, behind))

                return self.grad(f)(x, *args), product

            return linearize

    return Differences()


def float32_for_float64(patch: Patch) -> Backend:
    class Narrow(NumpyBackend):
        def asarray(self, x, dtype=None, device=None):
            return super().asarray(x, "float32" if dtype == "float64" else dtype, device)

    return Narrow()


def float32_hidden_in_float64(patch: Patch) -> Backend:
    """Results have the right dtype and the digits of the wrong one."""

    class Hidden(NumpyBackend):
        def value_and_grad(self, f, has_aux=False):
            def wrapped(x, *args):
                value, gradient = NumpyBackend.value_and_grad(self, f, has_aux)(x, *args)
                narrow = tree_map(self, lambda g: self.xp.astype(self.xp.astype(g, "float32"), g.dtype), gradient)
                return value, narrow

            return wrapped

    return Hidden()


def rates_of_the_first_leaf(patch: Patch) -> Backend:
    def scaled(self, B, x):
        rate = float(B.to_numpy(B.tree_flatten(self.lr)[0][0])) if not isinstance(self.lr, float) else self.lr
        return scale(B, rate, x)

    patch(ms.GradientDescent, "_scaled", scaled)
    return NumpyBackend()


def matmul_rule_transposed(patch: Patch) -> Backend:
    """The cotangent of the second factor without the transposition, where shapes let it pass."""
    primitive = PRIMITIVES["matmul"]
    original = primitive.vjp

    def rule(argnum, g, out, a, b):
        share = original(argnum, g, out, a, b)
        square = argnum == 1 and len(share.shape) == 2 and share.shape[0] == share.shape[1]
        return matrix_transpose(share) if square else share

    patch(primitive, "vjp", rule)
    return NumpyBackend()


def tanh_rule_wrong(patch: Patch) -> Backend:
    patch(PRIMITIVES["tanh"], "vjp", lambda argnum, g, out, x: g * (1.0 - out))
    return NumpyBackend()


def parameters_altered(patch: Patch) -> Backend:
    original = ms.GradientDescent.update

    def update(self, B, theta, gradient):
        for leaf in B.tree_flatten(theta)[0]:
            if isinstance(leaf, numpy.ndarray) and leaf.size:
                leaf[...] = leaf * 1.0009765625
        return original(self, B, theta, gradient)

    patch(ms.GradientDescent, "update", update)
    return NumpyBackend()


def not_a_number(patch: Patch) -> Backend:
    patch(ms.FOMAML, "meta_gradient", _spoiled(ms.FOMAML.meta_gradient))
    return NumpyBackend()


def _spoiled(original: Any) -> Any:
    def call(self, B, loss, params, task):
        r = original(self, B, loss, params, task)
        return r._replace(delta=tree_map(B, lambda leaf: leaf * numpy.nan, r.delta))

    return call


def crash(patch: Patch) -> Backend:
    patch(ms.Reptile, "meta_gradient", lambda *args: os._exit(3))
    return NumpyBackend()


def hang(patch: Patch) -> Backend:
    patch(ms.Reptile, "meta_gradient", lambda *args: time.sleep(600))
    return NumpyBackend()


WRONG: dict[str, Fault] = {
    f.__name__: f
    for f in (
        maml_without_hessian,
        maml_detached_after_first_step,
        maml_path_walked_forwards,
        fomaml_at_the_start,
        reptile_on_support_alone,
        reptile_mean_of_two_gradients,
        reptile_negated,
        imaml_proximal_term_dropped,
        imaml_identity_missing,
        imaml_regularization_inverted,
        imaml_never_solved,
        cg_old_residual,
        cg_one_step_short,
        damping_ignored,
        one_step_fewer,
        support_and_query_exchanged,
        sum_over_tasks,
        state_leaks_between_tasks,
        leaves_exchanged,
        first_leaf_alone,
        half_the_product,
        product_by_coarse_differences,
        rates_of_the_first_leaf,
        matmul_rule_transposed,
        tanh_rule_wrong,
    )
}
"""Faults that give finite numbers of the right shape and dtype."""

MALFORMED: dict[str, Fault] = {
    f.__name__: f for f in (float32_for_float64, float32_hidden_in_float64, parameters_altered, not_a_number)
}


def __getattr__(name: str) -> Any:
    """`worker_NAME`: the fault installed for good, for a worker that is thrown away afterwards."""
    if not name.startswith("worker_"):
        raise AttributeError(name)
    return partial(globals()[name.removeprefix("worker_")], setattr)
