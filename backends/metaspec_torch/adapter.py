"""PyTorch behind the Backend protocol, by way of `torch.func`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import array_api_compat.torch as compat
import torch
from torch._C import _functorch
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from metaspec.backend.guard import Guard
from metaspec.backend.protocol import Backend
from metaspec.backend.trace_cache import TraceCache
from metaspec.backend.tuning import Tuning
from metaspec.errors import DtypeNotHonouredError, MutationError
from metaspec.task import Array, Tree
from metaspec.trees import tree_map
from metaspec_torch.compiling import compiled_natively, replayed

BATCH_BYTES = 4 << 20  # measured on CPUs: docs/performance.md


class TorchTuning(Tuning):
    """Chunks of tasks that fit a processor's cache; native code on request."""

    def batch_bytes(self, params: Tree) -> int | None:
        return BATCH_BYTES if all(leaf.device.type == "cpu" for leaf in self.backend.tree_flatten(params)[0]) else None

    def compile_with(self, f: Callable[..., Tree], *, native: bool, donate: Sequence[int]) -> Callable[..., Tree]:
        if not native:
            return self.backend.compile(f)
        return TraceCache(self.backend, f, compiled_natively, _layout, _ambient)


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
        return tree_map(
            self.backend,
            lambda x: x.detach() if isinstance(x, torch.Tensor) and x.requires_grad and not _wrapped(x) else x,
            tree,
        )

    def version_counter(self, tree: Tree) -> Any:
        leaves = self.backend.tree_flatten(tree)[0]
        return [x._version for x in leaves if isinstance(x, torch.Tensor) and not x.is_inference()]


class TorchBackend(Backend):
    """Arrays are tensors. Results carry no autograd graph: differentiate through a meta-gradient with `torch.func`."""

    name = "torch"
    tuning_type = TorchTuning
    guard_type = TorchGuard

    @property
    def xp(self) -> Any:
        return compat

    def versions(self) -> Mapping[str, str]:
        return {"torch": torch.__version__}

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
        return isinstance(x, torch.Tensor)

    def to_numpy(self, x: Array) -> Any:
        return x.detach().cpu().numpy()

    def precision(self, dtype: str) -> AbstractContextManager[None]:
        return _without_tf32() if dtype == "float32" and torch.cuda.is_available() else nullcontext()

    def is_concrete(self, x: Array) -> bool:
        return not _wrapped(x) and not torch.compiler.is_compiling() and get_proxy_mode() is None

    def value_and_grad(self, f: Callable[..., Any], has_aux: bool = False) -> Callable[..., Any]:
        def wrapped(x: Tree, *args: Any) -> Any:
            if has_aux:
                value, pullback, aux = self._vjp(lambda x: f(x, *args), (x,), has_aux=True)
            else:
                value, pullback = self._vjp(lambda x: f(x, *args), (x,))
            gradient = pullback(torch.ones_like(value))[0]
            return ((value, aux), gradient) if has_aux else (value, gradient)

        return wrapped

    def vjp(self, f: Callable[..., Tree], *primals: Tree) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
        value, pullback = self._vjp(f, primals)
        return value, pullback

    def _vjp(self, f: Callable[..., Any], primals: tuple[Tree, ...], has_aux: bool = False) -> Any:
        leaves, structure = self.tree_flatten(primals)
        out: list[Any] = []  # structure of the value, then of the aux, then aux leaves that are no tensors

        def flat(*leaves: Array) -> Any:
            returned = f(*self.tree_unflatten(structure, leaves))
            value, aux = returned if has_aux else (returned, None)
            value_leaves, value_structure = self.tree_flatten(value)
            aux_leaves, aux_structure = self.tree_flatten(aux)
            others = {i: leaf for i, leaf in enumerate(aux_leaves) if not isinstance(leaf, torch.Tensor)}
            out[:] = value_structure, aux_structure, others
            tensors = tuple(leaf for leaf in aux_leaves if isinstance(leaf, torch.Tensor))
            return (tuple(value_leaves), tensors) if has_aux else tuple(value_leaves)

        try:
            value, pull, *auxes = torch.func.vjp(flat, *leaves, has_aux=has_aux)
        except RuntimeError as error:
            if isinstance(error, MutationError) or "in-place" not in str(error):
                raise
            raise MutationError(f"loss: it changed its parameters or its batch in place ({error})") from error
        value_structure, aux_structure, others = out

        def pullback(cotangent: Tree) -> tuple[Tree, ...]:
            cotangents = tuple(self.tree_flatten(cotangent)[0])
            shares = pull(cotangents, create_graph=_differentiated())
            return self.tree_unflatten(structure, [_with_entries(share) for share in shares])

        value = self.tree_unflatten(value_structure, value)
        if not has_aux:
            return value, pullback
        tensors = iter(auxes[0])
        count = len(auxes[0]) + len(others)
        aux = [others[i] if i in others else next(tensors) for i in range(count)]
        return value, pullback, self.tree_unflatten(aux_structure, aux)

    def stop_gradient(self, tree: Tree) -> Tree:
        return tree_map(self, torch.Tensor.detach, tree)

    def jvp(self, f: Callable[..., Tree], primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Tree, Tree]:
        leaves, structure = self.tree_flatten(tuple(primals))
        flat, out = self.flat_function(f, structure)
        value, tangent = torch.func.jvp(flat, tuple(leaves), tuple(self.tree_flatten(tuple(tangents))[0]))
        return self.tree_unflatten(out[0], value), self.tree_unflatten(out[0], [_with_entries(x) for x in tangent])

    def hvp(self, f: Callable[..., Array]) -> Callable[..., Tree]:
        # Forward over reverse fails on PyTorch's own layers: mse_loss of a linear layer's output adds to a ZeroTensor.
        return lambda x, v, *args: self.linearize_grad(f)(x, *args)[1](v)

    def vmap(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        def mapped(*args: Tree) -> Tree:
            leaves, structure = self.tree_flatten(args)
            flat, out = self.flat_function(f, structure)
            value = torch.func.vmap(flat)(*leaves)
            return self.tree_unflatten(out[0], value)

        return mapped

    def compile(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        return TraceCache(self, f, replayed, _layout, _ambient)


def _ambient() -> Any:
    """The settings that decide the dtypes of what a function makes."""
    autocast = [(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")]
    return torch.get_default_dtype(), *autocast


def _layout(x: Array) -> Any:
    return x.shape, x.dtype, x.device, x.stride()  # strides: views are recorded where a copy of others would be needed


def _wrapped(x: Array) -> bool:
    return bool(_functorch.is_functorch_wrapped_tensor(x))


def _with_entries(x: Array) -> Array:
    """The tensor itself; of PyTorch's zeros without storage, which NumPy cannot read, one that has it."""
    return x.clone() if x._is_zerotensor() else x


def _differentiated() -> bool:
    """Whether a derivative is being taken around this point; only then need a pull-back record its own work."""
    levels = _functorch.get_interpreter_stack() or []
    return any(level.key() in (_functorch.TransformType.Grad, _functorch.TransformType.Jvp) for level in levels)


@contextmanager
def _without_tf32() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
