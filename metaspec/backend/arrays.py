"""Conversion of arrays between frameworks, the namespace of a tree, and the context of a computation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.backend.registry import owner_of
from metaspec.backend.selection import backend_context, chosen_backend, get_backend, plain_leaves, resolve
from metaspec.errors import InvalidTypeError
from metaspec.task import Array, Tree

WIDE = ("float64", "float128", "longdouble")


def array_namespace(tree: Tree) -> Any:
    """Array-API namespace of the tree's framework, for losses that are written once for every backend.

    Inside a metaspec function it is that of the backend at work. A loss for every backend keeps to the namespace's
    functions where frameworks' operators differ: TensorFlow's `@` takes no vectors, and its operators no two dtypes.
    On all backends work `+ - * / **` of arrays of one dtype and of Python numbers, comparisons, unary minus, `@` of
    matrices, slices with positive steps, `x.shape`, `x.dtype` and `x.ndim`. Not on all do `x.T` and `x.mT` (take
    `xp.permute_dims`, `xp.matrix_transpose`), `x.size` (`math.prod(x.shape)`), methods (`xp.sum(x)`), `x[::-1]`
    (`xp.flip`), and indices that are arrays or masks (`xp.take`, `xp.where`).

    Args:
        tree: A tree of arrays, such as the loss's parameters.

    Raises:
        BackendMismatchError: Leaves of several frameworks.
        BackendNotChosenError: No leaf is an array.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> def loss(params, batch):
        ...     xp = ms.array_namespace(params)
        ...     return xp.mean((xp.tanh(batch["x"] @ params["w"]) - batch["y"]) ** 2)
        >>> float(loss({"w": np.zeros((2, 1))}, {"x": np.ones((5, 2)), "y": np.ones((5, 1))}))
        1.0
    """
    chosen = chosen_backend()
    if isinstance(chosen, Backend):
        return chosen.xp
    leaves = plain_leaves(tree)
    owners = {owner for leaf in leaves if (owner := owner_of(leaf, containers=True)) is not None}
    return get_backend(owners.pop()).xp if len(owners) == 1 else resolve(None, tree, "tree").xp


def asarray(tree: Tree, *, dtype: str | None = None, device: Any = None, backend: str | Backend | None = None) -> Tree:
    """Convert every leaf of a tree, a number or an array of any framework, to an array of one backend.

    Args:
        tree: A tree whose leaves are numbers or arrays.
        dtype: For floating leaves alone: "float32", "float64" ...; None keeps each array's own.
        device: What the framework calls a device; None is its default.
        backend: Name or instance; by default as `get_backend` chooses, else the framework of the leaves.

    Returns:
        A tree of the same structure.

    Raises:
        DtypeNotHonouredError: The backend would give another dtype (JAX without x64: see `Backend.precision`).
        InvalidTypeError: A leaf is neither a number nor an array.

    Example:
        >>> import metaspec as ms
        >>> ms.asarray({"w": 1.0}, dtype="float32", backend="numpy")["w"].dtype
        dtype('float32')
    """
    if dtype is not None and not isinstance(dtype, str):
        raise InvalidTypeError(f"asarray: dtype must be a string such as 'float32', got {dtype!r}")
    wanted = backend if backend is not None else chosen_backend()
    B = resolve(None, tree, "tree") if wanted is None else get_backend(wanted)
    leaves, structure = B.tree_flatten(tree)
    return B.tree_unflatten(structure, [_converted(B, leaf, dtype, device) for leaf in leaves])


def uploaded(B: Backend, tree: Tree) -> Tree:
    """Convert a tree as `asarray` does, faster where all leaves are NumPy's and the shapes come again."""
    leaves, structure = B.tree_flatten(tree)
    if all(owner_of(leaf) == "numpy" for leaf in leaves):
        return B.tree_unflatten(structure, B.tuning.from_numpy_many(leaves))
    return asarray(tree, backend=B)


def _converted(B: Backend, leaf: Any, dtype: str | None, device: Any) -> Array:
    if not B.is_array(leaf) and not isinstance(leaf, bool | int | float):
        owner = owner_of(leaf)
        if owner is None:
            raise InvalidTypeError(f"tree: expected numbers and arrays as leaves, got {type(leaf).__name__}")
        if not get_backend(owner).is_array(leaf):
            raise InvalidTypeError(
                f"tree: expected numbers and arrays as leaves, got {type(leaf).__name__}, which is none; of a model "
                "give the parameters: metaspec.from_model(model, loss).params"
            )
        leaf = get_backend(owner).to_numpy(leaf)
    if dtype is not None and not (isinstance(leaf, float) or "float" in str(getattr(leaf, "dtype", ""))):
        dtype = None
    return B.asarray(leaf, dtype=dtype, device=device)


@contextmanager
def computing(B: Backend, tree: Tree) -> Iterator[None]:
    """Enter the context in which B computes on `tree`: B is the active backend, wide formats are honoured."""
    with backend_context(B), B.guard.compute_context(wide_format(B, tree)):
        yield


def wide_format(B: Backend, tree: Tree) -> str | None:
    """Return the format beyond float32 that the tree's leaves have, or None."""
    names = {
        B.dtype_name(leaf) if B.is_array(leaf) else str(getattr(leaf, "dtype", "")) for leaf in B.tree_flatten(tree)[0]
    }
    return next((name for name in WIDE if name in names), None)
