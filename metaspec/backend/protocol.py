"""The Backend protocol: what an algorithm may ask of a framework.

Required members are few. Derived members are written once, here, from the required ones; an adapter overrides one only
where the framework's own is measurably better. Optional members have a fallback that is right and slow.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, cached_property
from typing import Any, ClassVar

import optree

from metaspec.backend.capabilities import MEMBERS, Capability
from metaspec.backend.guard import Guard
from metaspec.backend.registry import owner_of, registrations
from metaspec.backend.tuning import Tuning
from metaspec.errors import UnsupportedError
from metaspec.task import Array, Solution, Tree

NAMESPACE = "metaspec"


class Backend(ABC):
    """One framework, seen through the operations that gradient-based meta-learning is made of.

    Functions handed to a backend take and return trees of arrays. All derivatives are with respect to the first
    argument (`vjp`: to all), have its structure and dtypes, and nest to any order.

    An adapter's subclass supplies `name` and nine members: `xp`, `versions`, `asarray`, `to_numpy`, `precision`,
    `is_concrete`, `value_and_grad`, `vjp`, `stop_gradient`. It gets trees (`tree_flatten` and so on), the derived
    members `grad`, `jvp`, `hvp`, `linearize_grad` and `linear_solve`, and right but slow fallbacks of `vmap`, `scan`,
    `checkpoint` and `compile`; `all_reduce`, with `process` and `joined`, knows one process. Speed settings are in
    `tuning`, protection of the user's arrays in `guard`.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> B = ms.get_backend("numpy")
        >>> def f(x):
        ...     return B.xp.sum(x["w"] ** 3)
        >>> x, v = {"w": np.array([1.0, 2.0])}, {"w": np.array([1.0, 0.0])}
        >>> B.grad(f)(x)["w"], B.hvp(f)(x, v)["w"]
        (array([ 3., 12.]), array([6., 0.]))
    """

    name: ClassVar[str]
    tuning_type: ClassVar[type[Tuning]] = Tuning
    guard_type: ClassVar[type[Guard]] = Guard

    # --- required -----------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def xp(self) -> Any:
        """Return the array-API namespace over this backend's arrays and tracers."""

    @abstractmethod
    def versions(self) -> Mapping[str, str]:
        """Return the versions of the framework and of what its numbers depend on."""

    @abstractmethod
    def asarray(self, x: Any, dtype: str | None = None, device: Any = None) -> Array:
        """Convert a number or an array to an array of this backend; other frameworks' arrays come in through NumPy.

        Raises:
            DtypeNotHonouredError: The backend would give another dtype than the one asked for.
        """

    @abstractmethod
    def to_numpy(self, x: Array) -> Any:
        """Return a NumPy array with the values and dtype of `x`, detached from any derivative."""

    @abstractmethod
    def precision(self, dtype: str) -> AbstractContextManager[None]:
        """Return a context in which `dtype` computes with all of its digits: float64 exists, float32 uses no TF32."""

    @abstractmethod
    def is_concrete(self, x: Array) -> bool:
        """Return whether `x` has values that Python may look at: False for tracers, symbolic and batched arrays."""

    @abstractmethod
    def value_and_grad(self, f: Callable[..., Any], has_aux: bool = False) -> Callable[..., Any]:
        """Return (x, *args) -> (f(x, *args), df/dx), with `has_aux` ((value, aux), df/dx); unused leaves get zeros."""

    @abstractmethod
    def vjp(self, f: Callable[..., Tree], *primals: Tree) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
        """Return f(*primals) and its pull-back u -> u . J, which may be called again and may be differentiated."""

    @abstractmethod
    def stop_gradient(self, tree: Tree) -> Tree:
        """Return the same values, with derivatives of every order zero."""

    # --- given: trees, arrays -----------------------------------------------------------------------------------------

    def tree_flatten(self, tree: Tree) -> tuple[list[Any], Any]:
        """Return the leaves in a fixed order (dictionaries by key, None is an empty subtree) and the structure."""
        leaves, structure = optree.tree_flatten(tree, namespace=NAMESPACE)
        return leaves, structure

    def tree_unflatten(self, structure: Any, leaves: Sequence[Any]) -> Tree:
        """Return the tree of that structure with these leaves: the inverse of `tree_flatten`."""
        return optree.tree_unflatten(structure, leaves)

    def tree_paths(self, tree: Tree) -> list[str]:
        """Return a readable name of each leaf, in the order of `tree_flatten`."""
        return [accessor.codify("") or "root" for accessor in optree.tree_accessors(tree, namespace=NAMESPACE)]

    def tree_stack(self, trees: Sequence[Tree]) -> Tree:
        """Stack trees of one structure along a new leading axis of each leaf; None where there is no tree."""
        if not trees:
            return None
        columns = zip(*(self.tree_flatten(tree)[0] for tree in trees), strict=True)
        return self.tree_unflatten(self.tree_flatten(trees[0])[1], [self.xp.stack(column) for column in columns])

    def is_array(self, x: Any) -> bool:
        """Return whether `x` is an array or tracer of this backend."""
        return owner_of(x) == self.name

    def dtype_name(self, x: Array) -> str:
        """Return the dtype as a string: "float32", "float64", "int64" ..."""
        return _name_of(x.dtype)

    @cached_property
    def tuning(self) -> Tuning:
        """Return the speed settings of this backend."""
        return self.tuning_type(self)

    @cached_property
    def guard(self) -> Guard:
        """Return what protects the user's arrays and settings from this backend."""
        return self.guard_type(self)

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        """Return how each derived or optional member is provided: as registered; else what is overridden is native."""
        registered = registrations().get(self.name)
        if registered is not None:
            return registered.all_capabilities
        own = {m: getattr(type(self), m) is not getattr(Backend, m) for m in MEMBERS}
        return {m: Capability("native" if overridden else "derived") for m, overridden in own.items()}

    # --- derived ------------------------------------------------------------------------------------------------------

    def grad(self, f: Callable[..., Array]) -> Callable[..., Tree]:
        """Return the gradient function (x, *args) -> df/dx."""
        value_and_grad = self.value_and_grad(f)
        return lambda *args: value_and_grad(*args)[1]

    def jvp(self, f: Callable[..., Tree], primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Tree, Tree]:
        """Return f(*primals) and J . t, by the pull-back of the pull-back, which is linear in its cotangent."""
        value, pullback = self.vjp(f, *primals)
        _, push = self.vjp(pullback, value)
        return value, push(tuple(tangents))[0]

    def hvp(self, f: Callable[..., Array]) -> Callable[..., Tree]:
        """Return (x, v, *args) -> H v, H the Hessian of f in x; forward over reverse where `jvp` is native."""

        def product(x: Tree, v: Tree, *args: Any) -> Tree:
            def gradient(x: Tree) -> Tree:
                return self.grad(f)(x, *args)

            if self.capabilities["jvp"].level == "native":
                return self.jvp(gradient, (x,), (v,))[1]
            _, pullback = self.vjp(gradient, x)
            return pullback(v)[0]

        return product

    def linearize_grad(self, f: Callable[..., Array]) -> Callable[..., tuple[Tree, Callable[[Tree], Tree]]]:
        """Return (x, *args) -> (df/dx, v -> H v); the products share what the gradient computed, and H is symmetric."""

        def linearize(x: Tree, *args: Any) -> tuple[Tree, Callable[[Tree], Tree]]:
            gradient, pullback = self.vjp(lambda x: self.grad(f)(x, *args), x)
            return gradient, lambda v: pullback(v)[0]

        return linearize

    def linear_solve(self, matvec: Callable[[Tree], Tree], b: Tree, solver: Any, x0: Tree | None = None) -> Solution:
        """Solve A x = b, A symmetric and given by its products, by a solver such as `ConjugateGradient`."""
        solution: Solution = solver.solve(self, matvec, b, x0)
        return solution

    # --- optional -----------------------------------------------------------------------------------------------------

    def vmap(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        """Vectorise f over axis 0 of every leaf of every argument and result. Fallback: loop and stack."""

        def mapped(*args: Tree) -> Tree:
            leaves, structure = self.tree_flatten(args)
            count = leaves[0].shape[0]
            return self.tree_stack(
                [f(*self.tree_unflatten(structure, [leaf[i, ...] for leaf in leaves])) for i in range(count)]
            )

        return mapped

    def scan(
        self,
        f: Callable[[Tree, Any], tuple[Tree, Any]],
        carry: Tree,
        xs: Tree = None,
        length: int | None = None,
        reverse: bool = False,
    ) -> tuple[Tree, Any]:
        """Loop (carry, x_k) -> (carry, y_k) along axis 0 of `xs`, or `length` times with x = None, and stack the y.

        With `reverse` from the last k to the first; y_k stays at place k. Fallback: a Python loop.
        """
        leaves, structure = self.tree_flatten(xs)
        steps = range(leaves[0].shape[0] if leaves else length or 0)
        ys = []
        for k in reversed(steps) if reverse else steps:
            carry, y = f(carry, self.tree_unflatten(structure, [leaf[k, ...] for leaf in leaves]))
            ys.append(y)
        return carry, self.tree_stack(ys[::-1] if reverse else ys)

    def checkpoint(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        """Return f, its intermediate values computed again when it is differentiated. Fallback: f, which keeps them."""
        return f

    def compile(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        """Compile f for repeated calls with equal shapes. Fallback: f."""
        return f

    def all_reduce(self, tree: Tree, op: str = "sum") -> Tree:
        """Reduce each entry over all processes by "sum", "max" or "min"; every process calls it with trees alike.

        All processes get the same bits. Fallback: one process, the tree as it is.
        """
        return tree

    def process(self) -> tuple[int, int]:
        """Return the index of this process and the number of processes that the engine has joined. Fallback: (0, 1)."""
        return 0, 1

    def joined(self, timeout: float) -> AbstractContextManager[None]:
        """Return a context in which the processes that the engine's launcher has started are joined.

        Outside of a launcher it does nothing, as the fallback. `timeout`: seconds to wait for the others.
        """
        return nullcontext()

    def devices(self) -> Sequence[str]:
        """Return the names of the devices that the framework can compute on; the fallback is the processor."""
        return ("cpu",)

    # --- for adapters -------------------------------------------------------------------------------------------------

    def unsupported(self, member: str) -> UnsupportedError:
        """Return the error of an unsupported member: `def scan(...): raise self.unsupported("scan")`."""
        return UnsupportedError(f"backend {self.name!r} has no {member}: {self.capabilities[member].reason}")

    def flat_function(self, f: Callable[..., Tree], structure: Any) -> tuple[Callable[..., tuple[Any, ...]], list[Any]]:
        """Return f as a function of its arguments' leaves, and a list that holds its result's structure once it ran."""
        out: list[Any] = []

        def flat(*leaves: Any) -> tuple[Any, ...]:
            results, results_structure = self.tree_flatten(f(*self.tree_unflatten(structure, leaves)))
            out[:] = [results_structure]
            return tuple(results)

        return flat, out


@cache
def _name_of(dtype: Any) -> str:
    return str(dtype).rpartition(".")[2]


@cache
def bytes_of(dtype: str) -> int:
    """Return the bytes of an entry: the digits of the format's name, or 16 where it has none (longdouble)."""
    digits = "".join(filter(str.isdigit, dtype))
    return int(digits) // 8 if digits else 16


def is_floating(dtype: str) -> bool:
    """Return whether a dtype name is that of a real floating format."""
    return dtype.startswith(("float", "bfloat", "longdouble"))
