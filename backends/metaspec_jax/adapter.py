"""JAX behind the Backend protocol."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import metadata
from operator import attrgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy

from metaspec.backend.guard import Guard
from metaspec.backend.protocol import Backend
from metaspec.backend.random_draws import without_draws
from metaspec.backend.reducing import reduced
from metaspec.backend.selection import active
from metaspec.backend.trace_cache import MISS, TraceCache
from metaspec.backend.tuning import LoopKind, Tuning
from metaspec.errors import DtypeNotHonouredError
from metaspec.task import Array, Task, Tree
from metaspec_jax import _private, concrete_values, processes, sharding

FLOAT64, DTYPE, SEQUENCES = numpy.dtype("float64"), attrgetter("dtype"), (list, tuple)
BATCH_BYTES = 192 << 10  # measured on CPUs: docs/performance.md
JOINED_BYTES = 32 << 10  # likewise
EAGER_BYTES = 32 << 20  # outside of jit an operation's call costs far more than what it computes
# Up to this many steps a loop that keeps what the walk back needs is compiled as straight code, which runs faster and
# compiles slower. A loop that keeps its last state alone is the faster form: straight, conjugate gradients took three
# times as long.
UNROLL = 10


class JaxTuning(Tuning):
    """Loops are written out only where JAX traces; small trees are joined for solvers."""

    products_are_trees = True
    eager_compiles = True
    joined_bytes = JOINED_BYTES

    def batch_bytes(self, params: Tree) -> int | None:
        if jax.default_backend() != "cpu":
            return None
        return EAGER_BYTES if self.unroll_limit() is None else BATCH_BYTES

    def unroll_limit(self, loop: LoopKind = "path") -> int | None:
        if not isinstance(jnp.zeros(()), jax.core.Tracer):  # it is one within jit, not within vmap or grad
            return None
        return UNROLL if loop == "path" else 1

    def from_numpy_many(self, arrays: Sequence[Any]) -> list[Array]:
        widest = 8 if _x64() else 4
        if any(x.dtype.kind not in "biu" and x.dtype.itemsize > widest for x in arrays):
            return super().from_numpy_many(arrays)  # which says what is wrong
        return _copies(list(arrays))

    def map_tasks(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        return concrete_values.mapped(f)

    def spread(self, params: Tree, tasks: Tree) -> Tree:
        return sharding.spread(params, tasks)

    def compile_with(self, f: Callable[..., Tree], *, native: bool, donate: Sequence[int]) -> Callable[..., Tree]:
        return _Jitted(self.backend, without_draws(f), donate)


class _Jitted:
    """`jax.jit` of a function, for which leaves that are no arrays are constants."""

    def __init__(self, backend: Backend, f: Callable[..., Tree], donate: Sequence[int]) -> None:
        self._backend, self._least = backend, max(donate, default=-1) + 1
        self._jitted = jax.jit(f, donate_argnums=tuple(donate))
        self._kinds: set[type] = set()  # of concrete ones: asking is_array of each leaf would take longer than the call
        self._constants = TraceCache(
            backend, f, lambda flat, arrays: jax.jit(flat).lower(*arrays).compile(), _private.kind
        )

    def __call__(self, *args: Tree) -> Tree:
        leaves = jax.tree.leaves(args)
        if self._kinds.issuperset(map(type, leaves)):
            return self._jitted(*args)
        if not all(map(self._backend.is_array, leaves)):
            return self._constants(*args)
        self._kinds.update(type(leaf) for leaf in leaves if self._backend.is_concrete(leaf))
        return self._jitted(*args)

    def quick(self, args: Sequence[Tree]) -> Tree:
        """Return the result for arrays of types that were looked at, but of tasks in a sequence; else MISS."""
        leaves = jax.tree.leaves(args)
        if not leaves or len(args) < self._least or not self._kinds.issuperset(map(type, leaves)):
            return MISS
        for arg in args:
            if isinstance(arg, SEQUENCES) and arg and isinstance(arg[0], Task):
                return MISS  # they may differ in size
        token = active.set(self._backend)
        try:
            if FLOAT64 not in set(map(DTYPE, leaves)):
                return self._jitted(*args)
            with self._backend.guard.compute_context("float64"):
                return self._jitted(*args)
        except Exception as error:
            explain(error)
            raise
        finally:
            active.reset(token)


class _Explained(AbstractContextManager[None]):
    """The context, in which JAX's errors become metaspec's, with what to do; generators would take microseconds."""

    __slots__ = ("_context",)

    def __init__(self, context: AbstractContextManager[None]) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._context.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._context.__exit__(kind, error, trace)
        if isinstance(error, Exception):
            explain(error)


def explain(error: Exception) -> None:
    """Raise an error of metaspec's in place of one of JAX's that says nothing of what to do."""
    sharding.explain(error)
    concrete_values.explain(error)


class JaxGuard(Guard):
    """JAX's configuration, which metaspec reads and never writes; arrays that are spread over devices."""

    def settings(self) -> Mapping[str, Any]:
        return _private.configuration()

    def compute_context(self, wide: str | None) -> AbstractContextManager[None]:
        return _Explained(super().compute_context(wide))

    def constant_context(self) -> AbstractContextManager[None]:
        return jax.ensure_compile_time_eval()

    def per_device(self, params: Tree, data: Tree) -> Tree:
        return sharding.per_device(params, data)


class JaxBackend(Backend):
    """Arrays are `jax.Array`s; trees are JAX's own, so modules of Flax and Equinox are trees."""

    name = "jax"
    tuning_type = JaxTuning
    guard_type = JaxGuard

    @property
    def xp(self) -> Any:
        return jnp

    def versions(self) -> Mapping[str, str]:
        return {"jax": jax.__version__, "jaxlib": metadata.version("jaxlib")}

    def devices(self) -> Sequence[str]:
        return [str(device) for device in jax.devices()]

    def asarray(self, x: Any, dtype: str | None = None, device: Any = None) -> Array:
        wanted = dtype or str(getattr(x, "dtype", ""))
        if wanted in ("float128", "longdouble"):
            raise DtypeNotHonouredError(f"asarray: JAX has no dtype {wanted!r}; its widest format is dtype='float64'")
        if (wanted == "float64" or dtype in ("int64", "uint64", "complex128")) and not _x64():
            narrow = {"float64": "float32", "int64": "int32", "uint64": "uint32", "complex128": "complex64"}[wanted]
            raise DtypeNotHonouredError(
                f"asarray: dtype {wanted} was asked for, JAX without x64 would give {narrow}; use "
                f'dtype="{narrow}", or work within metaspec.get_backend("jax").precision("float64")'
            )
        try:
            if isinstance(x, numpy.ndarray | numpy.generic):  # a copy, as JAX would share the memory
                array = jax.device_put(numpy.array(x, dtype=None if dtype is None else jnp.dtype(dtype)))
            else:
                array = jnp.asarray(x, dtype=dtype)
        except TypeError as error:
            raise DtypeNotHonouredError(
                f"asarray: JAX cannot make {dtype or type(x).__name__!r} of it: {error}"
            ) from None
        if dtype is not None and str(array.dtype) != dtype:
            raise DtypeNotHonouredError(f"asarray: dtype {dtype} was asked for, JAX without x64 gives {array.dtype}")
        return array if device is None else jax.device_put(array, device)

    def is_array(self, x: Any) -> bool:
        return isinstance(x, jax.Array)

    def to_numpy(self, x: Array) -> Any:
        return numpy.asarray(x)

    def precision(self, dtype: str) -> AbstractContextManager[None]:
        if dtype == "float64":
            return nullcontext() if _x64() else jax.enable_x64(True)
        return jax.default_matmul_precision("highest")

    def is_concrete(self, x: Array) -> bool:
        return not isinstance(x, jax.core.Tracer)

    def value_and_grad(self, f: Callable[..., Any], has_aux: bool = False) -> Callable[..., Any]:
        return sharding.checked_value_and_grad(f, has_aux)

    def vjp(self, f: Callable[..., Tree], *primals: Tree) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
        return jax.vjp(f, *primals)

    def stop_gradient(self, tree: Tree) -> Tree:
        return jax.lax.stop_gradient(tree)

    def tree_flatten(self, tree: Tree) -> tuple[list[Any], Any]:
        return jax.tree.flatten(tree)

    def tree_unflatten(self, structure: Any, leaves: Sequence[Any]) -> Tree:
        return jax.tree.unflatten(structure, leaves)

    def tree_paths(self, tree: Tree) -> list[str]:
        return [jax.tree_util.keystr(path) or "root" for path, _ in jax.tree.flatten_with_path(tree)[0]]

    def jvp(self, f: Callable[..., Tree], primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Tree, Tree]:
        return jax.jvp(f, tuple(primals), tuple(tangents))

    def linearize_grad(self, f: Callable[..., Array]) -> Callable[..., tuple[Tree, Callable[[Tree], Tree]]]:
        """Reverse over reverse, in a form that a `scan` can carry.

        Forward over reverse leaves transposes of sums of matrix products, which XLA does not move into the products:
        it took 1.7 times as long on layers of 256 units and 10 examples, and was never the faster one.
        """

        def linearize(x: Tree, *args: Any) -> tuple[Tree, Callable[[Tree], Tree]]:
            gradient, pullback = jax.vjp(lambda x: self.grad(f)(x, *args), x)
            return gradient, jax.tree_util.Partial(_pulled, pullback)

        return linearize

    def vmap(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        return jax.vmap(f)

    def scan(
        self,
        f: Callable[[Tree, Any], tuple[Tree, Any]],
        carry: Tree,
        xs: Tree = None,
        length: int | None = None,
        reverse: bool = False,
    ) -> tuple[Tree, Any]:
        if self.tuning.unroll_limit() is None:
            return super().scan(f, carry, xs, length, reverse)  # outside of jit it would be compiled at every call
        return jax.lax.scan(f, carry, xs, length=length, reverse=reverse)

    def checkpoint(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        return jax.checkpoint(f)

    def compile(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        return self.tuning.compile_with(f, native=False, donate=())

    def process(self) -> tuple[int, int]:
        return processes.process()

    def all_reduce(self, tree: Tree, op: str = "sum") -> Tree:
        if jax.sharding.get_abstract_mesh().manual_axes:
            return processes.over_axes(tree, op)
        return reduced(self, tree, op, processes.sum_vector)

    def joined(self, timeout: float) -> AbstractContextManager[None]:
        return processes.joined(timeout)


def _pulled(pullback: Callable[[Tree], tuple[Tree, ...]], v: Tree) -> Tree:
    return pullback(v)[0]


@jax.jit
def _copies(arrays: list[Any]) -> list[Array]:
    """One call for all of them, a tenth of the time of `device_put`; compiled for each list of shapes."""
    return [jnp.array(x, copy=True) for x in arrays]


def _x64() -> bool:
    return bool(jax.config.read("jax_enable_x64"))
