"""NumPy, or any other array-API namespace, behind the Backend protocol; the derivatives are the tracer's."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from operator import attrgetter
from sys import maxsize
from typing import Any

import numpy

from metaspec.backend.guard import Guard
from metaspec.backend.protocol import Backend
from metaspec.backend.random_draws import without_draws
from metaspec.backend.reducing import reduced
from metaspec.backend.trace_cache import TraceCache
from metaspec.backend.tuning import LoopKind, Tuning
from metaspec.errors import DtypeNotHonouredError, InvalidTypeError, UnsupportedError
from metaspec.task import Array, Tree
from metaspec_numpy import processes, tracer
from metaspec_numpy.tracer.aliasing import as_input
from metaspec_numpy.tracer.value_needed import foreign

BATCH_BYTES = 4 << 20  # measured on CPUs: docs/performance.md
PLAIN = frozenset({numpy.ndarray, numpy.float64, numpy.float32})
_SHAPED = attrgetter("shape", "dtype")
_ZERO = object()  # a cotangent that is zero without being an array; None would be an empty subtree


@cache
def _name(kind: Any, dtype: Any) -> str:  # by kind first: dtypes of two namespaces must not be compared
    return str(dtype).rpartition(".")[2]


class NumpyTuning(Tuning):
    """Chunks of tasks that fit a processor's cache."""

    def batch_bytes(self, params: Tree) -> int | None:
        return BATCH_BYTES

    def unroll_limit(self, loop: LoopKind = "path") -> int | None:
        return maxsize if tracer.recording() else None

    def task_loss(self, loss: Callable[[Tree, Tree], Any], known_by: Any) -> Callable[[Tree, Tree], Any]:
        def named(params: Tree, batch: Tree) -> Any:
            try:
                return loss(params, batch)
            except (TypeError, ValueError, AttributeError) as error:
                if ours := foreign(error):
                    raise ours from error
                raise

        return named


class NumpyGuard(Guard):
    """Views that refuse to be written to; floating-point warnings off, as in every other framework."""

    def compute_context(self, wide: str | None) -> AbstractContextManager[None]:
        return numpy.errstate(all="ignore")  # as in every other framework; what is not finite is found in the result

    def read_only_view(self, tree: Tree) -> Tree:
        leaves, structure = self.backend.tree_flatten(tree)
        return self.backend.tree_unflatten(structure, [_read_only(leaf) for leaf in leaves])


class NumpyBackend(Backend):
    """Arrays of one array-API namespace; on `numpy.longdouble` the high-precision reference.

    Args:
        namespace: The namespace, `numpy` unless given (array_api_strict, say: pass the instance as `backend=`).
    """

    name = "numpy"
    tuning_type = NumpyTuning
    guard_type = NumpyGuard

    def __init__(self, namespace: Any = numpy) -> None:
        self._raw = namespace
        raw = (numpy.ndarray, numpy.generic) if namespace is numpy else (type(namespace.asarray(0.0)),)
        self._arrays = (*raw, tracer.Box)
        self._xp = tracer.namespace(namespace)

    @property
    def xp(self) -> Any:
        return self._xp

    def versions(self) -> Mapping[str, str]:
        return {self._raw.__name__: self._raw.__version__}

    def is_array(self, x: Any) -> bool:
        return isinstance(x, self._arrays) and not isinstance(x, numpy.ma.MaskedArray)

    def dtype_name(self, x: Array) -> str:
        dtype: Any = x.dtype
        return _name(dtype.__class__, dtype)

    def asarray(self, x: Any, dtype: str | None = None, device: Any = None) -> Array:
        wanted = None if dtype is None else getattr(self._raw, dtype, None)
        if dtype is not None and wanted is None:
            raise DtypeNotHonouredError(f"asarray: {self._raw.__name__} has no dtype {dtype!r}")
        return self._raw.asarray(x, dtype=wanted, device=device)

    def to_numpy(self, x: Array) -> Any:
        return numpy.asarray(x)

    def precision(self, dtype: str) -> AbstractContextManager[None]:
        return nullcontext()

    def is_concrete(self, x: Array) -> bool:
        return tracer.is_concrete(x)

    def value_and_grad(self, f: Callable[..., Any], has_aux: bool = False) -> Callable[..., Any]:
        def wrapped(x: Tree, *args: Any) -> Any:
            returned, pull = self.vjp(lambda x: f(x, *args), x)
            value, aux = returned if has_aux else (returned, None)
            one = self.xp.ones_like(value)
            no_share = self.tree_unflatten(self.tree_flatten(aux)[1], [_ZERO] * len(self.tree_flatten(aux)[0]))
            return returned, pull((one, no_share) if has_aux else one)[0]

        return wrapped

    def vjp(self, f: Callable[..., Tree], *primals: Tree) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
        leaves, structure = self.tree_flatten(primals)
        flat, out = self.flat_function(f, structure)
        value, pull = tracer.vjp(flat, *leaves)

        def pullback(cotangent: Tree) -> tuple[Tree, ...]:
            shares = [None if leaf is _ZERO else leaf for leaf in self.tree_flatten(cotangent)[0]]
            grads = [  # data of a wider format must not widen the parameters
                share if share.dtype == leaf.dtype else self.xp.astype(share, leaf.dtype)
                for share, leaf in zip(pull(tuple(shares)), leaves, strict=True)
            ]
            return self.tree_unflatten(structure, grads)

        return self.tree_unflatten(out[0], value), pullback

    def stop_gradient(self, tree: Tree) -> Tree:
        leaves, structure = self.tree_flatten(tree)
        return self.tree_unflatten(structure, [tracer.stop_gradient(leaf) for leaf in leaves])

    def jvp(self, f: Callable[..., Tree], primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Tree, Tree]:
        leaves, structure = self.tree_flatten(tuple(primals))
        flat, out = self.flat_function(f, structure)
        value, tangent = tracer.jvp(flat, tuple(leaves), tuple(self.tree_flatten(tuple(tangents))[0]))
        return self.tree_unflatten(out[0], value), self.tree_unflatten(out[0], tangent)

    def vmap(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        def mapped(*args: Tree) -> Tree:
            leaves, structure = self.tree_flatten(args)
            flat, out = self.flat_function(f, structure)
            try:
                value = tracer.vmap(flat)(*leaves)
            except (InvalidTypeError, UnsupportedError) as error:  # of data, one by one, it may be an ordinary call
                result = super(NumpyBackend, self).vmap(f)(*args)
                _warn(f"computed one task after the other, as it cannot be batched: {error}")
                return result
            return self.tree_unflatten(out[0], value)

        return mapped

    def perturbed(self, f: Callable[..., Tree], factors: Callable[[tuple[int, ...]], Any]) -> Callable[..., Tree]:
        """f with what every operation gives, in its derivatives too, multiplied by factors(shape)."""

        def rounded(*args: Tree) -> Tree:
            leaves, structure = self.tree_flatten(args)
            flat, out = self.flat_function(f, structure)
            value = tracer.perturbed(flat, factors)(*leaves)
            return self.tree_unflatten(out[0], value)

        return rounded

    def scan(
        self,
        f: Callable[[Tree, Any], tuple[Tree, Any]],
        carry: Tree,
        xs: Tree = None,
        length: int | None = None,
        reverse: bool = False,
    ) -> tuple[Tree, Any]:
        def apart(carry: Tree, x: Any) -> tuple[Tree, Any]:
            with tracer.computed_anew():  # a step shares nothing with other steps: what it computes again, it does
                return f(carry, x)

        return super().scan(apart, carry, xs, length, reverse)

    def compile_with_draws(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        """Return f recorded at its first call, for a function whose random draws are to be those of the recording."""
        return TraceCache(self, f, _recorded, _signature, kinds=_kinds)

    def compile(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        return _Compiled(self, without_draws(f), _recorded, _signature, kinds=_kinds)

    def process(self) -> tuple[int, int]:
        return processes.process()

    def all_reduce(self, tree: Tree, op: str = "sum") -> Tree:
        return reduced(self, tree, op, processes.sum_vector)

    def joined(self, timeout: float) -> AbstractContextManager[None]:
        return processes.joined(timeout)


class _Compiled(TraceCache):
    """A recording; where the function cannot be recorded, the function itself."""

    refused = False

    def _looked_at(self, args: Sequence[Tree]) -> Tree:
        if self.refused:
            return self._f(*args)
        try:
            return super()._looked_at(args)
        except (InvalidTypeError, UnsupportedError) as error:  # of known values, it may be an ordinary call
            result = self._f(*args)
            self.refused = True
            _warn(f"not compiled, as it cannot be recorded: {error}")
            return result


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)


def _recorded(flat: Callable[..., Any], arrays: Sequence[Array]) -> Callable[..., Any]:
    program = tracer.record(flat, tuple(arrays))

    def without_warnings(*arrays: Array) -> Any:
        with numpy.errstate(all="ignore"):
            return program(*arrays)

    return without_warnings


def _signature(x: Array) -> Any:
    return x.shape, x.dtype


def _kinds(leaves: Sequence[Any]) -> Any:
    """Signatures of arrays of NumPy's own types; None where a leaf is another."""
    if not PLAIN.issuperset(map(type, leaves)):
        return None
    return tuple(map(_SHAPED, leaves))


def _read_only(x: Any) -> Any:
    if type(x) is not numpy.ndarray:
        return as_input(x)
    view = x.view()
    view.flags.writeable = False
    return view
