"""Functions of `xp`, their arguments and derivatives, and outputs behind stop_gradient, broken on purpose."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy

from metaspec_numpy.adapter import NumpyBackend
from metaspec_numpy.tracer import PRIMITIVES
from metaspec_numpy.tracer.core import Box
from tests.conformance.seeded_faults.derivative_faults import adapter
from tests.conformance.seeded_faults.fault import Patch, fault, member


class _Replaced:
    """A namespace with one function replaced."""

    def __init__(self, namespace: Any, name: str, function: Any) -> None:
        self._namespace, self._name, self._function = namespace, name, function

    def __getattr__(self, name: str) -> Any:
        return self._function if name == self._name else getattr(self._namespace, name)


def replaced(patch: Patch, name: str, call: Callable[..., Any]) -> None:
    """Replace `xp.name` by `call(original function, original namespace, ...)`."""
    original = NumpyBackend.xp
    xp: Any = original.fget(NumpyBackend())
    function = partial(call, getattr(xp, name), xp)
    patch(NumpyBackend, "xp", property(lambda self: _Replaced(original.fget(self), name, function)))


@fault(adapter)
def stopped_outputs_shift_cotangents(patch: Patch) -> None:
    """A pull-back skips outputs behind stop_gradient, and gives their cotangents to the outputs after them."""

    def vjp(original: Any, self: Any, f: Any, *primals: Any) -> Any:
        varying: list[int] = []

        def noted(*given: Any) -> Any:
            outputs = f(*given)
            varying[:] = [i for i, out in enumerate(self.tree_flatten(outputs)[0]) if isinstance(out, Box)]
            return outputs

        value, pullback = original(self, noted, *primals)

        def shifted(cotangent: Any) -> Any:
            us, structure = self.tree_flatten(cotangent)
            if varying and len({getattr(u, "shape", None) for u in us}) == 1:
                moved = dict(zip(varying, us, strict=False))
                us = [moved.get(i, u) for i, u in enumerate(us)]
            return pullback(self.tree_unflatten(structure, us))

        return value, shifted

    member(patch, "vjp", vjp)


@fault(adapter)
def reversed_arrays_read_forwards(patch: Patch) -> None:
    """`asarray` reads the memory of an array that runs backwards from its start."""

    def asarray(original: Any, self: Any, x: Any, dtype: Any = None, device: Any = None) -> Any:
        if isinstance(x, numpy.ndarray):
            x = x[tuple(slice(None, None, -1 if stride < 0 else 1) for stride in x.strides)]
        return original(self, x, dtype, device)

    member(patch, "asarray", asarray)


@fault(adapter)
def xp_asarray_narrows(patch: Patch) -> None:
    """`xp.asarray` makes float32 of NumPy's float64."""

    def asarray(original: Any, xp: Any, x: Any, /, **options: Any) -> Any:
        narrow = isinstance(x, numpy.ndarray) and x.dtype == numpy.float64 and "dtype" not in options
        return original(x.astype(numpy.float32) if narrow else x, **options)

    replaced(patch, "asarray", asarray)


def _without(option: str) -> Callable[..., Any]:
    """Return what calls a function and passes over one of its options."""
    return lambda original, xp, *args, **options: original(*args, **{k: v for k, v in options.items() if k != option})


@fault(adapter)
def std_without_correction(patch: Patch) -> None:
    """`xp.std` passes over `correction`."""
    replaced(patch, "std", _without("correction"))


@fault(adapter)
def var_without_correction(patch: Patch) -> None:
    """`xp.var` passes over `correction`."""
    replaced(patch, "var", _without("correction"))


@fault(adapter)
def sort_always_ascending(patch: Patch) -> None:
    """`xp.sort` passes over `descending`."""
    replaced(patch, "sort", _without("descending"))


@fault(adapter)
def argmax_drops_its_axis(patch: Patch) -> None:
    """`xp.argmax` passes over `keepdims`."""
    replaced(patch, "argmax", _without("keepdims"))


@fault(adapter)
def sum_of_integers_stays_integer(patch: Patch) -> None:
    """`xp.sum` passes over `dtype`."""
    replaced(patch, "sum", _without("dtype"))


@fault(adapter)
def cumulative_sum_without_initial(patch: Patch) -> None:
    """`xp.cumulative_sum` passes over `include_initial`."""
    replaced(patch, "cumulative_sum", _without("include_initial"))


@fault(adapter)
def take_refuses_an_axis(patch: Patch) -> None:
    """`xp.take` has no `axis`."""
    replaced(patch, "take", lambda original, xp, x, i, /: original(x, i, axis=0))


@fault(adapter)
def clip_needs_both_ends(patch: Patch) -> None:
    """`xp.clip` clips nothing where one of the ends is None."""
    replaced(
        patch,
        "clip",
        lambda original, xp, x, min=None, max=None: x if None in (min, max) else original(x, min, max),
    )


@fault(adapter)
def roll_backwards(patch: Patch) -> None:
    """`xp.roll` rolls the other way."""
    replaced(patch, "roll", lambda original, xp, x, n, /, **options: original(x, -n, **options))


@fault(adapter)
def round_half_up(patch: Patch) -> None:
    """`xp.round` rounds halves up, not to even."""
    replaced(patch, "round", lambda original, xp, x: xp.floor(x + 0.5))


@fault(adapter)
def remainder_of_the_dividend(patch: Patch) -> None:
    """`xp.remainder` has the sign of the dividend, as in C."""
    replaced(patch, "remainder", lambda original, xp, x, y, /: x - y * xp.trunc(x / y))


@fault(adapter)
def isdtype_of_one_kind(patch: Patch) -> None:
    """`xp.isdtype` says no to several kinds, and to "numeric"."""
    replaced(
        patch,
        "isdtype",
        lambda original, xp, dtype, kind: isinstance(kind, str) and kind != "numeric" and original(dtype, kind),
    )


@fault(adapter)
def prod_by_logarithms(patch: Patch) -> None:
    """`xp.prod` is a sum of logarithms: the derivative at a zero is NaN."""

    def prod(original: Any, xp: Any, x: Any, /, **options: Any) -> Any:
        size = xp.exp(xp.sum(xp.log(xp.abs(x)), **options))
        return size * original(xp.sign(x), **options)

    replaced(patch, "prod", prod)


@fault(adapter)
def sort_keeps_places_of_gradients(patch: Patch) -> None:
    """The gradient of `xp.sort` is given back in sorted order."""
    stop = NumpyBackend().stop_gradient
    replaced(patch, "sort", lambda original, xp, x, /, **options: x + stop(original(x, **options) - x))


@fault(adapter)
def dense_solves_share_a_matrix(patch: Patch) -> None:
    """Each linear system of a batch is solved with the first one's matrix."""
    primitive = PRIMITIVES["solve"]
    original = primitive.impl

    def solve(xp: Any, a: Any, b: Any) -> Any:
        return original(xp, numpy.broadcast_to(a[:1], a.shape) if a.ndim > 2 else a, b)

    patch(primitive, "impl", solve)
