"""TensorFlow behind the Backend protocol: gradient tapes, `tf.function`, `tf.vectorized_map`.

A tape tracks tensors by identity, so every differentiated argument is given a fresh identity first: what the function
closes over may be the very same tensor, and is a constant.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import tensorflow as tf

from metaspec.backend.guard import Guard
from metaspec.backend.protocol import Backend
from metaspec.backend.random_draws import without_draws
from metaspec.backend.reducing import reduced
from metaspec.backend.trace_cache import TraceCache
from metaspec.backend.tuning import LoopKind, Tuning
from metaspec.errors import DtypeNotHonouredError, UnsupportedError
from metaspec.task import Array, Tree
from metaspec_tensorflow import _private, compiling, namespace, processes

BATCH_BYTES = 192 << 10  # measured on CPUs: docs/performance.md
JOINED_BYTES = 32 << 10  # likewise
ARRAYS = (tf.Tensor, tf.Variable)
UNROLL = 10  # up to this many steps a loop is compiled as straight code, which runs faster and compiles slower
UNROLL_SOLVE = 40  # a vectorised linearisation asks for shapes, which XLA does not know in a loop that it enters


class TensorFlowTuning(Tuning):
    """Loops are written out up to a length; small trees are joined for solvers."""

    joined_bytes = JOINED_BYTES

    def batch_bytes(self, params: Tree) -> int | None:
        return None if tf.config.list_logical_devices("GPU") else BATCH_BYTES

    def unroll_limit(self, loop: LoopKind = "path") -> int | None:
        if tf.executing_eagerly():
            return None
        return UNROLL_SOLVE if loop == "solve" else UNROLL

    def from_numpy_many(self, arrays: Sequence[Any]) -> list[Array]:
        return [self.backend.asarray(x) if x.dtype.itemsize > 8 else tf.constant(x) for x in arrays]

    def traceable_loss(self, loss: Callable[..., Any]) -> Callable[..., Any]:
        return compiling.by_autograph(loss)


class TensorFlowGuard(Guard):
    """Variables are read when they come in; settings are read and never written."""

    def settings(self) -> Mapping[str, Any]:
        return {
            "threads": tf.config.threading.get_intra_op_parallelism_threads(),
            "interop threads": tf.config.threading.get_inter_op_parallelism_threads(),
            "jit": tf.config.optimizer.get_jit(),
            "graph optimizer": tf.config.optimizer.get_experimental_options(),
            "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
            "eager": tf.executing_eagerly(),
            "functions run eagerly": tf.config.functions_run_eagerly(),
            "soft device placement": tf.config.get_soft_device_placement(),
            "synchronous": tf.config.experimental.get_synchronous_execution(),
            "numpy behaviour": "astype" in vars(tf.Tensor),
        }

    def detach(self, tree: Tree) -> Tree:
        leaves, structure = self.backend.tree_flatten(tree)
        if all(isinstance(leaf, tf.Tensor) for leaf in leaves):
            return tree
        read = [
            leaf if isinstance(leaf, tf.Tensor) or not self.backend.is_array(leaf) else tf.convert_to_tensor(leaf)
            for leaf in leaves
        ]
        return self.backend.tree_unflatten(structure, read)


class TensorFlowBackend(Backend):
    """Arrays are tensors; variables, Keras's too, are read when they come in."""

    name = "tensorflow"
    tuning_type = TensorFlowTuning
    guard_type = TensorFlowGuard

    @property
    def xp(self) -> Any:
        return namespace

    def versions(self) -> Mapping[str, str]:
        return {"tensorflow": tf.__version__}

    def devices(self) -> Sequence[str]:
        return [device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()]

    def asarray(self, x: Any, dtype: str | None = None, device: Any = None) -> Array:
        wanted = dtype or str(getattr(x, "dtype", ""))
        if wanted in ("float128", "longdouble"):
            raise DtypeNotHonouredError(
                f"asarray: TensorFlow has no dtype {wanted!r}; its widest format is dtype='float64'"
            )
        if dtype is not None and not isinstance(getattr(tf.dtypes, dtype, None), tf.DType):
            raise DtypeNotHonouredError(f"asarray: TensorFlow has no dtype {dtype!r}")
        if str(getattr(x, "dtype", "")) == "float128":
            x = x.astype("float64")
        with nullcontext() if device is None else tf.device(device):
            if dtype is None or isinstance(x, int | float):  # a cast of a number would go through float32
                try:
                    return tf.identity(tf.convert_to_tensor(x, dtype))
                except (TypeError, ValueError) as error:
                    raise DtypeNotHonouredError(
                        f"asarray: TensorFlow cannot make {dtype or 'a tensor'} of {x!r:.80}: {error}"
                    ) from None
            return tf.cast(x, dtype)

    def is_array(self, x: Any) -> bool:
        return isinstance(x, ARRAYS) or (hasattr(x, "__tf_tensor__") and super().is_array(x))

    def to_numpy(self, x: Array) -> Any:
        return tf.convert_to_tensor(x).numpy()

    def precision(self, dtype: str) -> AbstractContextManager[None]:
        return _without_tf32() if dtype == "float32" and tf.config.list_physical_devices("GPU") else nullcontext()

    def is_concrete(self, x: Array) -> bool:
        return tf.executing_eagerly() and not tf.is_symbolic_tensor(x)

    def dtype_name(self, x: Array) -> str:
        return str(getattr(x.dtype, "name", x.dtype))

    def value_and_grad(self, f: Callable[..., Any], has_aux: bool = False) -> Callable[..., Any]:
        def wrapped(x: Tree, *args: Any) -> Any:
            leaves, structure = self._fresh(x)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(leaves)
                returned = f(self.tree_unflatten(structure, leaves), *args)
            value = returned[0] if has_aux else returned
            return returned, self.tree_unflatten(structure, _pull(tape, value, leaves, None))

        return wrapped

    def vjp(self, f: Callable[..., Tree], *primals: Tree) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
        leaves, structure = self._fresh(primals)
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(leaves)
            value = f(*self.tree_unflatten(structure, leaves))
        outputs = self.tree_flatten(value)[0]

        def pullback(cotangent: Tree) -> tuple[Tree, ...]:
            return self.tree_unflatten(structure, _pull(tape, outputs, leaves, self.tree_flatten(cotangent)[0]))

        return value, pullback

    def stop_gradient(self, tree: Tree) -> Tree:
        leaves, structure = self.tree_flatten(tree)
        return self.tree_unflatten(structure, [tf.stop_gradient(leaf) for leaf in leaves])

    def vmap(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        loop = super().vmap(f)

        def mapped(*args: Tree) -> Tree:
            leaves, structure = self.tree_flatten(args)
            if all(self.is_concrete(leaf) for leaf in leaves):
                return loop(*args)  # vectorized_map outside of tf.function traces anew at every call
            flat, out = self.flat_function(f, structure)
            value = compiling.mapped(flat, leaves)
            return self.tree_unflatten(out[0], value)

        return mapped

    def scan(
        self,
        f: Callable[[Tree, Any], tuple[Tree, Any]],
        carry: Tree,
        xs: Tree = None,
        length: int | None = None,
        reverse: bool = False,
    ) -> tuple[Tree, Any]:
        rows, rows_structure = self.tree_flatten(xs)
        steps = rows[0].shape[0] if rows else length or 0
        if self.tuning.unroll_limit() is None or steps == 0:
            return super().scan(f, carry, xs, length, reverse)
        start, structure = self._fresh(carry)

        def step(k: Array, leaves: Sequence[Array]) -> tuple[list[Array], list[Array], Any]:
            row = self.tree_unflatten(rows_structure, [tf.gather(x, k) for x in rows])
            carry, y = f(self.tree_unflatten(structure, leaves), row)
            return self.tree_flatten(carry)[0], *self.tree_flatten(y)

        _, examples, out = step(tf.constant(0), start)  # never computed: nothing but its shapes is used
        ys = [tf.zeros([steps, *y.shape], y.dtype) for y in examples]

        def body(i: Array, leaves: Sequence[Array], ys: Sequence[Array]) -> tuple[Array, list[Array], list[Array]]:
            k = steps - 1 - i if reverse else i
            leaves, new, _ = step(k, leaves)  # no TensorArray: XLA has none under vectorized_map
            return i + 1, leaves, [_with_row(y, k, row) for y, row in zip(ys, new, strict=True)]

        _, leaves, ys = tf.while_loop(
            lambda i, *_: i < steps, body, (tf.constant(0), start, ys), maximum_iterations=steps
        )
        return self.tree_unflatten(structure, leaves), self.tree_unflatten(out, ys)

    def compile(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        return TraceCache(self, without_draws(f), compiling.compiled, _private.kind, kinds=_kinds)

    def process(self) -> tuple[int, int]:
        return processes.process()

    def all_reduce(self, tree: Tree, op: str = "sum") -> Tree:
        return reduced(self, tree, op, processes.sum_vector)

    def joined(self, timeout: float) -> AbstractContextManager[None]:
        return processes.joined(timeout)

    def _fresh(self, tree: Tree) -> tuple[list[Array], Any]:
        leaves, structure = self.tree_flatten(tree)
        return [tf.identity(leaf) for leaf in leaves], structure


def _kinds(leaves: Sequence[Any]) -> Any:
    return _private.kinds(leaves) if tf.executing_eagerly() else None


def _with_row(rows: Array, k: Array, row: Array) -> Array:
    empty = 0 in row.shape  # which the update refuses
    return rows if empty else tf.tensor_scatter_nd_update(rows, [[k]], row[None])


def _pull(tape: tf.GradientTape, outputs: Any, leaves: list[Array], cotangents: list[Array] | None) -> list[Array]:
    try:
        shares = tape.gradient(
            outputs, leaves, output_gradients=cotangents, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
    except LookupError as error:
        name = str(error).rpartition(": ")[2]
        function = name.removesuffix("Grad")
        order = "second derivative" if function != name else "derivative"
        raise UnsupportedError(
            f"TensorFlow has no {order} of {function} (no gradient of the operation {name}). Write {function} out in "
            "other functions of TensorFlow's (softsign as x / (1 + tf.abs(x)))"
            + (", or use FOMAML or Reptile, which need first derivatives alone" if function != name else "")
        ) from error
    return [tf.convert_to_tensor(share) for share in shares]  # gathers give sparse IndexedSlices


@contextmanager
def _without_tf32() -> Iterator[None]:
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
