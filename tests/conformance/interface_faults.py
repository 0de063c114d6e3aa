"""Faults in what the public functions promise: purity, choice, formats, errors."""

from collections.abc import Callable
from typing import Any

import numpy as np

import metaspec as ms
from metaspec import algorithm, api, choice, inner, validation
from metaspec.backends.numpy.adapter import NumpyBackend
from metaspec.protocol import Backend
from metaspec.trees import scale, tree_map

Patch = Callable[[Any, str, Any], None]


def writing_allowed(patch: Patch) -> Backend:
    class Writable(NumpyBackend):
        def lend(self, tree):
            return tree

    return Writable()


def settings_changed(patch: Patch) -> Backend:
    class Loud(NumpyBackend):
        settings_of_its_own = 0

        def settings(self):
            return {"count": self.settings_of_its_own}

        def value_and_grad(self, f, has_aux=False):
            self.settings_of_its_own += 1
            return NumpyBackend.value_and_grad(self, f, has_aux)

    return Loud()


def generator_moved(patch: Patch) -> Backend:
    class Moved(NumpyBackend):
        def value_and_grad(self, f, has_aux=False):
            np.random.random()
            return NumpyBackend.value_and_grad(self, f, has_aux)

    return Moved()


def choice_of_the_process(patch: Patch) -> Backend:
    """A backend_context that holds in every thread."""

    class Shared:
        value: Any = None

        def get(self):
            return self.value

        def set(self, value):
            before, self.value = self.value, value
            return before

        def reset(self, token):
            self.value = token

    patch(choice, "_active", Shared())
    return NumpyBackend()


def arrays_before_choice(patch: Patch) -> Backend:
    original = choice.resolve

    def resolve(backend, leaves, what="params"):
        return original(backend if backend is not None or not leaves else "numpy", leaves, what)

    patch(api, "resolve", resolve)
    return NumpyBackend()


def foreign_arrays_taken(patch: Patch) -> Backend:
    patch(validation, "_check_owner", lambda B, leaf, where: None)
    patch(choice, "owner_of", lambda *args, **options: None)
    return NumpyBackend()


def unknown_is_numpy(patch: Patch) -> Backend:
    patch(choice, "get_backend", lambda backend=None: NumpyBackend())
    patch(ms, "get_backend", lambda backend=None: NumpyBackend())
    return NumpyBackend()


def rates_unchecked(patch: Patch) -> Backend:
    patch(inner, "_checked_rate", lambda rate, argument: float(rate))
    return NumpyBackend()


def parameters_unchecked(patch: Patch) -> Backend:
    patch(api, "check_params", lambda B, params: None)
    return NumpyBackend()


def loss_unchecked(patch: Patch) -> Backend:
    patch(validation, "_check_value", lambda B, value: None)
    return NumpyBackend()


def batches_unchecked(patch: Patch) -> Backend:
    patch(api, "check_stacked", lambda B, tasks: 1)
    return NumpyBackend()


def query_unchecked(patch: Patch) -> Backend:
    patch(algorithm, "is_empty", lambda B, batch: False)
    return NumpyBackend()


def numbers_unchecked(patch: Patch) -> Backend:
    patch(api, "check_finite", lambda *args, **options: None)
    return NumpyBackend()


def gradients_widened(patch: Patch) -> Backend:
    class Wide(NumpyBackend):
        def value_and_grad(self, f, has_aux=False):
            def wrapped(x, *args):
                value, gradient = NumpyBackend.value_and_grad(self, f, has_aux)(x, *args)
                return value, tree_map(self, lambda g: self.xp.astype(g, "float64"), gradient)

            return wrapped

    return Wide()


def rates_of_float64(patch: Patch) -> Backend:
    def scaled(self, B, x):
        return tree_map(B, lambda leaf: np.float64(self.lr) * leaf, x) if isinstance(self.lr, float) else x

    patch(ms.GradientDescent, "_scaled", scaled)
    return NumpyBackend()


def digits_dropped(patch: Patch) -> Backend:
    """Gradients rounded to 16 bits, as a fast matrix product would."""

    class Fast(NumpyBackend):
        def value_and_grad(self, f, has_aux=False):
            def wrapped(x, *args):
                value, gradient = NumpyBackend.value_and_grad(self, f, has_aux)(x, *args)
                narrow = lambda g: self.xp.astype(self.xp.astype(g, "float16"), g.dtype)  # noqa: E731
                return value, tree_map(self, narrow, gradient)

            return wrapped

    return Fast()


def booleans_weighed(patch: Patch) -> Backend:
    class Weighed(NumpyBackend):
        def asarray(self, x, dtype=None, device=None):
            return NumpyBackend.asarray(self, 2 * x if "int" in str(getattr(x, "dtype", "")) else x, dtype, device)

    return Weighed()


def aux_of_the_start(patch: Patch) -> Backend:
    original = api.meta_gradient

    def stale(algo, loss, params, task, **options):
        r = original(algo, loss, params, task, **options)
        judged = task.support if task.query is None else task.query
        return r._replace(aux=loss(params, judged)[1]) if options.get("has_aux") else r

    patch(ms, "meta_gradient", stale)
    return NumpyBackend()


def formats_replaced(patch: Patch) -> Backend:
    class Replacing(NumpyBackend):
        def asarray(self, x, dtype=None, device=None):
            return NumpyBackend.asarray(self, x, {"float16": "float32", "int8": "int32"}.get(dtype, dtype), device)

    return Replacing()


def state_kept_between_calls(patch: Patch) -> Backend:
    original = ms.GradientDescent.update
    calls = [0]

    def update(self, B, theta, gradient):
        calls[0] += 1
        return original(self, B, theta, scale(B, 1 + 2.0**-20 * calls[0], gradient))

    patch(ms.GradientDescent, "update", update)
    return NumpyBackend()


def arguments_moved(patch: Patch) -> Backend:
    """The meta-parameters are where the result is."""
    original = ms.GradientDescent.update

    def update(self, B, theta, gradient):
        moved = original(self, B, theta, gradient)
        for old, new in zip(B.tree_flatten(theta)[0], B.tree_flatten(moved)[0], strict=True):
            if type(old) is np.ndarray and B.is_concrete(new):
                old[...] = new
        return moved

    patch(ms.GradientDescent, "update", update)
    return NumpyBackend()


def results_lent(patch: Patch) -> Backend:
    """θ_K is the caller's φ where nothing moved it, and Δ is θ_K's array."""
    original = ms.MAML.meta_gradient

    def aliased(self, B, loss, params, task):
        r = original(self, B, loss, params, task)
        return r._replace(adapted=params)

    patch(ms.MAML, "meta_gradient", aliased)
    return NumpyBackend()
