"""Faults in the protocol's members: derivatives, trees, batches, compile and scan, solves."""

import contextvars
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import metaspec as ms
from metaspec import api, solvers
from metaspec.backends.numpy.adapter import NumpyBackend
from metaspec.protocol import Backend
from metaspec.trees import scale, tree_map, zeros_like

Patch = Callable[[Any, str, Any], None]


def product_within_leaves(patch: Patch) -> Backend:
    """Each leaf's own block of the Hessian alone."""

    class Blocks(NumpyBackend):
        def hvp(self, f):
            def product(x, v, *args):
                leaves, structure = self.tree_flatten(v)
                parts = []
                for i in range(len(leaves)):
                    alone = [w if i == j else 0 * w for j, w in enumerate(leaves)]
                    whole = NumpyBackend.hvp(self, f)(x, self.tree_unflatten(structure, alone), *args)
                    parts.append(self.tree_flatten(whole)[0][i])
                return self.tree_unflatten(structure, parts)

            return product

    return Blocks()


def product_one_sided(patch: Patch) -> Backend:
    """Products whose first leaf is that of the vector: neither symmetric nor the Hessian."""

    class OneSided(NumpyBackend):
        def linearize_grad(self, f):
            def linearize(x, *args):
                gradient, product = NumpyBackend.linearize_grad(self, f)(x, *args)

                def skewed(v):
                    leaves, structure = self.tree_flatten(product(v))
                    return self.tree_unflatten(structure, [self.tree_flatten(v)[0][0], *leaves[1:]])

                return gradient, skewed

            return linearize

    return OneSided()


def product_not_linear(patch: Patch) -> Backend:
    class Squared(NumpyBackend):
        def hvp(self, f):
            return lambda x, v, *args: tree_map(
                self, lambda h: h + 1e-4 * h * h, NumpyBackend.hvp(self, f)(x, v, *args)
            )

    return Squared()


def product_of_a_constant_point(patch: Patch) -> Backend:
    """H v whose own derivative in x is zero: third order is lost."""

    class Constant(NumpyBackend):
        def linearize_grad(self, f):
            return lambda x, *args: NumpyBackend.linearize_grad(self, f)(self.stop_gradient(x), *args)

        def hvp(self, f):
            return lambda x, v, *args: NumpyBackend.hvp(self, f)(self.stop_gradient(x), v, *args)

    return Constant()


def push_forward_dropped(patch: Patch) -> Backend:
    class Dropped(NumpyBackend):
        def jvp(self, f, primals, tangents):
            value, tangent = NumpyBackend.jvp(self, f, primals, tangents)
            return value, scale(self, 0.5, tangent)

    return Dropped()


def pullback_used_up(patch: Patch) -> Backend:
    class Once(NumpyBackend):
        def vjp(self, f, *primals):
            value, pullback = NumpyBackend.vjp(self, f, *primals)
            used = []

            def once(u):
                shares = pullback(u)
                used.append(u)
                return shares if len(used) == 1 else zeros_like(self, shares)

            return value, once

        def value_and_grad(self, f, has_aux=False):
            return NumpyBackend().value_and_grad(f, has_aux)

    return Once()


def gradient_detached(patch: Patch) -> Backend:
    """Gradients are constants to whoever differentiates them."""

    class Detached(NumpyBackend):
        def value_and_grad(self, f, has_aux=False):
            def wrapped(x, *args):
                value, gradient = NumpyBackend.value_and_grad(self, f, has_aux)(x, *args)
                return value, self.stop_gradient(gradient)

            return wrapped

    return Detached()


def stopped_to_first_order(patch: Patch) -> Backend:
    """stop_gradient that stops nothing where it is differentiated twice."""
    depth = contextvars.ContextVar("depth", default=0)

    class First(NumpyBackend):
        def vjp(self, f, *primals):
            token = depth.set(depth.get() + 1)
            try:
                return NumpyBackend.vjp(self, f, *primals)
            finally:
                depth.reset(token)

        def stop_gradient(self, tree):
            return tree if depth.get() > 1 else NumpyBackend.stop_gradient(self, tree)

    return First()


def constant_gradient_halved(patch: Patch) -> Backend:
    class Half(NumpyBackend):
        def value_and_grad(self, f, has_aux=False):
            def wrapped(x, *args):
                value, gradient = NumpyBackend.value_and_grad(self, f, has_aux)(x, *args)
                moved = tree_map(self, lambda w: w + 0.5, x)
                same = NumpyBackend.value_and_grad(self, f, has_aux)(moved, *args)[1]
                pairs = zip(self.tree_flatten(gradient)[0], self.tree_flatten(same)[0], strict=True)
                flat = all(self.is_concrete(a) and np.array_equal(a, b) for a, b in pairs)
                return value, scale(self, 0.5, gradient) if flat else gradient

            return wrapped

    return Half()


def leaves_in_order_of_insertion(patch: Patch) -> Backend:
    """A dictionary's values by insertion where gradients are put together, by key elsewhere."""

    class Insertion(NumpyBackend):
        def value_and_grad(self, f, has_aux=False):
            def wrapped(x, *args):
                value, gradient = NumpyBackend.value_and_grad(self, f, has_aux)(x, *args)
                if type(x) is dict and len(x) > 1 and list(x) != sorted(x):
                    gradient = dict(zip(x, (gradient[key] for key in sorted(x)), strict=True))
                return value, gradient

            return wrapped

    return Insertion()


def gradients_of_equal_shapes_exchanged(patch: Patch) -> Backend:
    """By name: gradients go to the leaves by descending size of name, as it were, where shapes agree."""

    class Exchanged(NumpyBackend):
        def value_and_grad(self, f, has_aux=False):
            def wrapped(x, *args):
                value, gradient = NumpyBackend.value_and_grad(self, f, has_aux)(x, *args)
                leaves, structure = self.tree_flatten(gradient)
                if len(leaves) > 1 and leaves[0].shape == leaves[-1].shape:
                    leaves[0], leaves[-1] = leaves[-1], leaves[0]
                return value, self.tree_unflatten(structure, leaves)

            return wrapped

    return Exchanged()


def garbage_for_unused(patch: Patch) -> Backend:
    class Garbage(NumpyBackend):
        def value_and_grad(self, f, has_aux=False):
            def wrapped(x, *args):
                value, gradient = NumpyBackend.value_and_grad(self, f, has_aux)(x, *args)
                nothing = lambda g: g + 1e-3 if self.is_concrete(g) and not np.any(g) else g  # noqa: E731
                return value, tree_map(self, nothing, gradient)

            return wrapped

    return Garbage()


def first_row_for_all(patch: Patch) -> Backend:
    class First(NumpyBackend):
        def vmap(self, f):
            def mapped(*args):
                leaves, structure = self.tree_flatten(args)
                same = [self.xp.stack([leaf[0, ...]] * leaf.shape[0]) for leaf in leaves]
                return NumpyBackend.vmap(self, f)(*self.tree_unflatten(structure, same))

            return mapped

    return First()


def weighted_by_examples(patch: Patch) -> Backend:
    original = api.batch_meta_gradient

    def weighted(algo, loss, params, tasks, **options):
        r = original(algo, loss, params, tasks, **options)
        if isinstance(tasks, ms.Task):
            return r
        sizes = [float(np.size(task.query["y"])) for task in tasks]
        return r._replace(query_loss=r.query_loss * max(sizes) * len(sizes) / sum(sizes))

    patch(ms, "batch_meta_gradient", weighted)
    return NumpyBackend()


def sum_over_tasks(patch: Patch) -> Backend:
    patch(api, "mean0", lambda B, x: tree_map(B, lambda leaf: B.xp.sum(leaf, axis=0), x))
    return NumpyBackend()


def compiled_once_for_all(patch: Patch) -> Backend:
    class Stale(NumpyBackend):
        def compile(self, f):
            first: list[Any] = []

            def call(*args):
                if not first:
                    first.append(f(*args))
                return first[0]

            return call

    return Stale()


def scan_short_of_one(patch: Patch) -> Backend:
    class Short(NumpyBackend):
        def scan(self, f, carry, xs=None, length=None, *rest, **options):
            if xs is None or self.tree_flatten(xs)[0] == []:
                return NumpyBackend.scan(self, f, carry, xs, length, *rest, **options)
            leaves, structure = self.tree_flatten(xs)
            first = self.tree_unflatten(structure, [self.xp.stack([leaf[0, ...]] * leaf.shape[0]) for leaf in leaves])
            return NumpyBackend.scan(self, f, carry, first, length, *rest, **options)

    return Short()


def checkpoint_forgets(patch: Patch) -> Backend:
    class Forgets(NumpyBackend):
        def checkpoint(self, f):
            return lambda x, *args: f(self.stop_gradient(x), *args)

    return Forgets()


def one_step_short(patch: Patch) -> Backend:
    original = ms.ConjugateGradient.solve

    def solve(self, B, matvec, b, *rest):
        return original(replace(self, steps=max(1, self.steps - 1)), B, matvec, b, *rest)

    patch(ms.ConjugateGradient, "solve", solve)
    return NumpyBackend()


def absolute_tolerance(patch: Patch) -> Backend:
    original = ms.ConjugateGradient.solve

    def solve(self, B, matvec, b, *rest):
        tol = None if self.tol is None else self.tol / float(np.linalg.norm(np.concatenate(B.tree_flatten(b)[0])) or 1)
        return original(replace(self, tol=tol), B, matvec, b, *rest)

    patch(ms.ConjugateGradient, "solve", solve)
    return NumpyBackend()


def start_ignored(patch: Patch) -> Backend:
    original = ms.ConjugateGradient.solve
    patch(ms.ConjugateGradient, "solve", lambda self, B, matvec, b, *rest: original(self, B, matvec, b))
    return NumpyBackend()


def damping_ignored(patch: Patch) -> Backend:
    patch(solvers, "_damped", lambda B, matvec, damping: matvec)
    return NumpyBackend()


def always_converged(patch: Patch) -> Backend:
    class Content(NumpyBackend):
        def linear_solve(self, *args, **options):
            s = NumpyBackend.linear_solve(self, *args, **options)
            return s._replace(status=0 * s.status)

    return Content()


def no_size_limit(patch: Patch) -> Backend:
    original = ms.DenseSolve.solve
    patch(ms.DenseSolve, "solve", lambda self, *args: original(replace(self, max_size=10**6), *args))
    return NumpyBackend()


def residual_invented(patch: Patch) -> Backend:
    class Invented(NumpyBackend):
        def linear_solve(self, *args, **options):
            s = NumpyBackend.linear_solve(self, *args, **options)
            return s._replace(residual=s.residual / 2)

    return Invented()


def tuples_become_lists(patch: Patch) -> Backend:
    class Lists(NumpyBackend):
        def value_and_grad(self, f, has_aux=False):
            def wrapped(x, *args):
                value, gradient = NumpyBackend.value_and_grad(self, f, has_aux)(x, *args)
                return value, list(gradient) if isinstance(gradient, tuple) else gradient

            return wrapped

    return Lists()


def entries_rounded_in_small_scales(patch: Patch) -> Backend:
    """Squares are formed before the right-hand side is scaled."""
    original = ms.ConjugateGradient.solve

    def solve(self, B, matvec, b, *rest):
        size = sum(np.sum(leaf * leaf) for leaf in B.tree_flatten(b)[0])
        return original(self, B, matvec, b if size > 1e-40 else zeros_like(B, b), *rest)

    patch(ms.ConjugateGradient, "solve", solve)
    return NumpyBackend()
