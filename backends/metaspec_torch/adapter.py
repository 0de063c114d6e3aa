"""PyTorch behind the Backend protocol: derivatives by `torch.autograd`, tasks stacked, losses vectorised."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import isfinite
from operator import attrgetter
from typing import Any

import torch

from metaspec.backend.guard import Guard
from metaspec.backend.protocol import Backend
from metaspec.backend.random_draws import without_draws
from metaspec.backend.reducing import reduced
from metaspec.backend.trace_cache import TraceCache
from metaspec.backend.tuning import Tuning
from metaspec.errors import DtypeNotHonouredError
from metaspec.task import Array, Tree
from metaspec.trees import tree_map
from metaspec_torch import namespace, processes
from metaspec_torch._private import each_scaled, each_sum, get_proxy_mode, is_wrapped, under_functorch, version_counters
from metaspec_torch.compiling import compiled_natively, replayed
from metaspec_torch.derivatives import linearize_grad, nested, vjp
from metaspec_torch.known_pullbacks import with_pullback
from metaspec_torch.recording import in_turn
from metaspec_torch.settings import attention_by_its_formula
from metaspec_torch.stacked_functions import Stacked
from metaspec_torch.task_losses import InTurnError, TaskLosses
from metaspec_torch.task_stack import (
    TaskStack,
    as_stacks,
    entry_sum,
    stacked_over,
    stacks_of,
    task_count,
    tasks_at_once,
)

BATCH_BYTES, RECORDED_BATCH_BYTES = 4 << 20, 1 << 20  # measured on CPUs: docs/performance.md
PLAIN = frozenset({torch.Tensor, torch.nn.Parameter})
_SHAPED = attrgetter("shape", "dtype", "device")


class TorchTuning(Tuning):
    """Chunks of tasks that fit a processor's cache, tasks stacked and their loss vectorised; native code on request."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._losses = TaskLosses()

    def batch_bytes(self, params: Tree) -> int | None:
        if any(leaf.device.type != "cpu" for leaf in self.backend.tree_flatten(params)[0]):
            return None
        return BATCH_BYTES if get_proxy_mode() is None else RECORDED_BATCH_BYTES

    def map_tasks(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        def mapped(*args: Tree) -> Tree:
            B = self.backend
            leaves, structure = B.tree_flatten(args)
            if task_count() is not None:
                return B.vmap(f)(*args)
            count = len(leaves[0])
            try:
                with tasks_at_once(count):
                    found, out = B.tree_flatten(f(*B.tree_unflatten(structure, [TaskStack(leaf) for leaf in leaves])))
            except InTurnError:
                rows = list(zip(*(leaf.unbind(0) for leaf in leaves), strict=True))
                return B.tree_stack(in_turn(B, f, structure, rows))
            return B.tree_unflatten(out, [stacked_over(count, leaf) for leaf in found])

        return mapped

    def add_scaled(self, x: Sequence[Array], c: float, y: Sequence[Array]) -> Sequence[Array]:
        if recording_or_transforming():
            return super().add_scaled(x, c, y)
        return as_stacks(each_sum(stacks_of(x), stacks_of(y), c))

    def all_finite(self, leaves: Sequence[Array]) -> Array:
        stacked = stacks_of(leaves)
        at_hand = stacked[0].device.type == "cpu" and not recording_or_transforming()  # a GPU would wait at each leaf
        if at_hand and isfinite(sum(x.sum().item() for x in stacked)):
            return as_stacks([torch.ones(task_count() or (), dtype=torch.bool, device=stacked[0].device)])[0]
        zeros = [x * 0 for x in stacked] if recording_or_transforming() else each_scaled(stacked, 0)
        sums = [entry_sum(x, 0 if task_count() is None else 1) for x in zeros]  # NaN where an entry is not finite
        finite: Array = as_stacks([torch.stack(sums).sum(0) == 0])[0]
        return finite

    def task_loss(self, loss: Callable[[Tree, Tree], Any], known_by: Any) -> Callable[[Tree, Tree], Any]:
        return self._losses.on_stacks(loss, known_by)

    def spread(self, params: Tree, tasks: Tree) -> Tree:
        device = self.backend.tree_flatten(params)[0][0].device
        return tasks if device.type == "cpu" else tree_map(self.backend, lambda leaf: leaf.to(device), tasks)

    def compile_with(self, f: Callable[..., Tree], *, native: bool, donate: Sequence[int]) -> Callable[..., Tree]:
        if not native:
            return self.backend.compile(f)
        return TraceCache(self.backend, without_draws(f), compiled_natively, _layout, _ambient, _layouts)


class TorchGuard(Guard):
    """Tensors are detached from autograd's recording; in-place writes are seen by their version counters."""

    def settings(self) -> Mapping[str, Any]:
        return {
            "default dtype": torch.get_default_dtype(),
            "default device": torch.get_default_device(),
            "threads": torch.get_num_threads(),
            "interop threads": torch.get_num_interop_threads(),
            "gradients": torch.is_grad_enabled(),
            "inference mode": torch.is_inference_mode_enabled(),
            "anomaly detection": torch.is_anomaly_enabled(),
            "autocast": [torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")],
            "matrix products": torch.get_float32_matmul_precision(),
            "tf32": (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "benchmark": torch.backends.cudnn.benchmark,
            "random state": torch.get_rng_state().numpy().tobytes(),
        }

    def detach(self, tree: Tree) -> Tree:
        return tree if nested() else tree_map(self.backend, _detached, tree)

    def private_copy(self, tree: Tree) -> Tree:
        if nested() or get_proxy_mode() is not None:
            return tree
        with torch.inference_mode(False):
            return tree_map(self.backend, _copied, tree)

    def attach(self, value: Tree, params: Tree, pullback: Callable[[Tree], Tree]) -> Tree:
        B = self.backend
        inputs = B.tree_flatten(params)[0]
        if nested() or not torch.is_grad_enabled() or not any(x.requires_grad and not is_wrapped(x) for x in inputs):
            return value
        leaves, value_structure = B.tree_flatten(value)
        if torch.is_inference_mode_enabled() or under_functorch() or get_proxy_mode() is not None:
            return value

        def pull(cotangents: Sequence[Array]) -> Sequence[Array]:
            shares: list[Array] = B.tree_flatten(pullback(B.tree_unflatten(value_structure, cotangents)))[0]
            return shares

        return B.tree_unflatten(value_structure, with_pullback(leaves, inputs, pull))

    @contextmanager
    def compute_context(self, wide: str | None) -> Iterator[None]:
        with super().compute_context(wide), attention_by_its_formula():
            yield

    def version_counter(self, leaves: Sequence[Any]) -> Any:
        return version_counters(leaves)


class TorchBackend(Backend):
    """Arrays are tensors; see metaspec_torch.derivatives."""

    name = "torch"
    tuning_type = TorchTuning
    guard_type = TorchGuard

    @property
    def xp(self) -> Any:
        return namespace

    def versions(self) -> Mapping[str, str]:
        return {"torch": torch.__version__}

    def devices(self) -> Sequence[str]:
        return ["cpu", *(torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count()))]

    def asarray(self, x: Any, dtype: str | None = None, device: Any = None) -> Array:
        wanted = None if dtype is None else getattr(torch, dtype, None)
        given = str(getattr(x, "dtype", ""))
        if (dtype is not None and not isinstance(wanted, torch.dtype)) or (wanted is None and given == "float128"):
            raise DtypeNotHonouredError(
                f"asarray: PyTorch has no dtype {dtype or given!r}; its widest format is dtype='float64'"
            )
        if given == "float128":
            x = x.astype("float64")
        if not getattr(getattr(x, "flags", None), "writeable", True) or min(getattr(x, "strides", None) or (0,)) < 0:
            x = x.copy()  # a tensor cannot be read-only, as the array whose memory it would share, nor run backwards
        return torch.asarray(x, dtype=wanted, device=device)

    def is_array(self, x: Any) -> bool:
        return isinstance(x, torch.Tensor | TaskStack)

    def to_numpy(self, x: Array) -> Any:
        whole = x.full_tensor() if hasattr(x, "full_tensor") else x  # a DTensor's shards, gathered
        return whole.detach().cpu().numpy()

    def precision(self, dtype: str) -> AbstractContextManager[None]:
        return _without_tf32() if dtype == "float32" and torch.cuda.is_available() else nullcontext()

    def is_concrete(self, x: Array) -> bool:
        if isinstance(x, Stacked) or is_wrapped(x) or (nested() and x.requires_grad):
            return False
        return not torch.compiler.is_compiling() and get_proxy_mode() is None

    def value_and_grad(self, f: Callable[..., Any], has_aux: bool = False) -> Callable[..., Any]:
        def wrapped(x: Tree, *args: Any) -> Any:
            value, pullback, aux = vjp(self, lambda x: f(x, *args), (x,), has_aux=has_aux, once=True)
            gradient = pullback(torch.ones_like(value))[0]
            return ((value, aux), gradient) if has_aux else (value, gradient)

        return wrapped

    def vjp(self, f: Callable[..., Tree], *primals: Tree) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
        return vjp(self, f, primals)[:2]

    def linearize_grad(self, f: Callable[..., Array]) -> Callable[..., tuple[Tree, Callable[[Tree], Tree]]]:
        if under_functorch():
            return super().linearize_grad(f)
        return lambda x, *args: linearize_grad(self, f, x, args)

    def stop_gradient(self, tree: Tree) -> Tree:
        return tree_map(self, lambda x: x.detach(), tree)

    def vmap(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        def mapped(*args: Tree) -> Tree:
            leaves, structure = self.tree_flatten(args)
            if any(isinstance(leaf, TaskStack) for leaf in leaves):
                return _vmap_of_stacks(self, f, leaves, structure)
            flat, out = self.flat_function(f, structure)
            value = torch.func.vmap(flat)(*leaves)
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
        def once(carry: Tree, x: Any) -> tuple[Tree, Any]:
            row, structure = self.tree_flatten((carry, x))
            found: tuple[Tree, Any] = in_turn(self, f, structure, [row])[0]
            return found

        over_tasks = xs is not None and not reverse and get_proxy_mode() is not None
        return super().scan(once if over_tasks else f, carry, xs, length, reverse)

    def compile(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        return TraceCache(self, without_draws(f), replayed, _layout, _ambient, _layouts)

    def process(self) -> tuple[int, int]:
        return processes.process()

    def all_reduce(self, tree: Tree, op: str = "sum") -> Tree:
        processes.check_whole(self.tree_flatten(tree)[0])
        return reduced(self, tree, op, processes.sum_vector)

    def joined(self, timeout: float) -> AbstractContextManager[None]:
        return processes.joined(timeout)


def recording_or_transforming() -> bool:
    """Whether operations are recorded by `make_fx` or transformed by `torch.func`, which know no lists of tensors."""
    return get_proxy_mode() is not None or under_functorch()


def _ambient() -> Any:
    """The settings that decide the dtypes of what a function makes."""
    return (
        torch.get_default_dtype(),
        *(torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        *(torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")),
    )


def _layouts(leaves: Sequence[Any]) -> Any:
    """What `_layout` gives of each leaf, where nothing records or transforms; None where a leaf is no plain tensor."""
    if not PLAIN.issuperset(map(type, leaves)) or recording_or_transforming() or nested():
        return None
    if torch.compiler.is_compiling() or any(map(torch.Tensor.is_inference, leaves)):
        return None
    return tuple(map(_SHAPED, leaves)), tuple(map(torch.Tensor.stride, leaves))


def _layout(x: Array) -> Any:
    return x.shape, x.dtype, x.device, x.stride()  # strides: views are recorded where a copy of others would be needed


def _copied(x: Any) -> Any:
    if not isinstance(x, torch.Tensor) or is_wrapped(x):
        return x
    return x.detach().clone() if x.requires_grad else x.clone()


def _detached(x: Any) -> Any:
    if not isinstance(x, torch.Tensor) or not (x.requires_grad or x.is_inference()) or is_wrapped(x):
        return x
    if x.is_inference():
        with torch.inference_mode(False):
            return x.clone()  # autograd keeps no tensor of inference mode
    return x.detach() if x.requires_grad else x


def _vmap_of_stacks(B: TorchBackend, f: Callable[..., Tree], leaves: Sequence[Any], structure: Any) -> Tree:
    """Every task's rows at once: `torch.func.vmap` around the axis of tasks."""
    count = task_count()

    def flat(*rows: Array) -> tuple[Array, ...]:
        returned, out[:] = B.tree_flatten(f(*B.tree_unflatten(structure, [TaskStack(row) for row in rows]))), []
        out.append(returned[1])
        return tuple(stacked_over(count, leaf) for leaf in returned[0])

    out: list[Any] = []
    values = torch.func.vmap(flat, in_dims=1, out_dims=1)(*(stacked_over(count, leaf) for leaf in leaves))
    return B.tree_unflatten(out[0], [TaskStack(value) for value in values])


@contextmanager
def _without_tf32() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
