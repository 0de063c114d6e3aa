"""HIPS autograd behind the Backend protocol: the nine required members, `is_array` and a guard."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import metadata
from typing import Any

import numpy
from autograd.core import VJPNode, add_outgrads
from autograd.numpy.numpy_boxes import ArrayBox
from autograd.tracer import box_type_mappings, box_types, getval, isbox, new_box, trace_stack
from autograd.util import toposort

from metaspec.backend.guard import Guard
from metaspec.backend.protocol import Backend
from metaspec.errors import DtypeNotHonouredError
from metaspec.task import Array, Tree
from metaspec.trees import tree_map
from metaspec_autograd import namespace as xp


def _refuse(self: Any, other: Any) -> Any:
    raise TypeError("autograd records no writes in place: bind a new array, x = x + y in place of x += y")


class Traced(ArrayBox):
    """The box of an array that NumPy would write to; autograd's own binds a new array, which no other name sees."""

    __slots__ = ()
    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ifloordiv__ = __imod__ = __ipow__ = __imatmul__ = _refuse


box_types.add(Traced)
box_type_mappings[Traced] = Traced


@contextmanager
def _boxed_by(kind: type[ArrayBox]) -> Iterator[None]:
    before = box_type_mappings[numpy.ndarray]
    box_type_mappings[numpy.ndarray] = kind
    try:
        yield
    finally:
        box_type_mappings[numpy.ndarray] = before


class AutogradGuard(Guard):
    """Views that refuse to be written to; what is not finite is found in the result."""

    def compute_context(self, wide: str | None) -> AbstractContextManager[None]:
        return numpy.errstate(all="ignore")

    def read_only_view(self, tree: Tree) -> Tree:
        return tree_map(self.backend, _read_only, tree)


class AutogradBackend(Backend):
    """Arrays are NumPy's, so this backend is never guessed from the parameters: it must be chosen by name."""

    name = "autograd"
    guard_type = AutogradGuard

    @property
    def xp(self) -> Any:
        return xp

    def versions(self) -> Mapping[str, str]:
        return {"autograd": metadata.version("autograd"), "numpy": numpy.__version__}

    def is_array(self, x: Any) -> bool:
        return isinstance(x, numpy.ndarray | numpy.generic | ArrayBox)

    def asarray(self, x: Any, dtype: str | None = None, device: Any = None) -> Array:
        wanted = dtype or str(getattr(x, "dtype", ""))
        if wanted in ("float128", "longdouble") or (dtype is not None and not hasattr(numpy, dtype)):
            raise DtypeNotHonouredError(f"asarray: no dtype {wanted!r} here; the widest format is dtype='float64'")
        return xp.asarray(x, dtype=dtype)

    def to_numpy(self, x: Array) -> Any:
        return numpy.asarray(getval(x))

    def precision(self, dtype: str) -> AbstractContextManager[None]:
        return nullcontext()

    def is_concrete(self, x: Array) -> bool:
        return not isbox(x)

    def value_and_grad(self, f: Callable[..., Any], has_aux: bool = False) -> Callable[..., Any]:
        def wrapped(x: Tree, *args: Any) -> Any:
            aux: list[Any] = []

            def value_of(x: Tree) -> Array:
                returned = f(x, *args)
                if not has_aux:
                    return returned
                aux[:] = [returned[1]]
                return returned[0]

            value, pullback = self.vjp(value_of, x)
            gradient = pullback(xp.ones_like(value))[0]
            return ((value, tree_map(self, _left, aux[0])), gradient) if has_aux else (value, gradient)

        return wrapped

    def vjp(self, f: Callable[..., Tree], *primals: Tree) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
        leaves, structure = self.tree_flatten(primals)
        flat, out = self.flat_function(f, structure)
        values, pull = _pull_back(flat, leaves)

        def pullback(cotangent: Tree) -> tuple[Tree, ...]:
            shares = pull(self.tree_flatten(cotangent)[0])
            grads = [xp.astype(share, leaf.dtype, copy=False) for share, leaf in zip(shares, leaves, strict=True)]
            return self.tree_unflatten(structure, grads)

        return self.tree_unflatten(out[0], values), pullback

    def stop_gradient(self, tree: Tree) -> Tree:
        return tree_map(self, getval, tree)


def _pull_back(flat: Callable[..., Sequence[Any]], leaves: Sequence[Any]) -> tuple[list[Any], Callable[..., list[Any]]]:
    """The values of a function of several leaves, and its pull-back; autograd's own `make_vjp` takes one array."""
    roots = [VJPNode.new_root() for _ in leaves]
    with trace_stack.new_trace() as level, _boxed_by(Traced):
        outs = flat(*(new_box(leaf, level, root) for leaf, root in zip(leaves, roots, strict=True)))
    varying = [i for i, out in enumerate(outs) if isbox(out) and out._trace == level]
    end = VJPNode.new_root()
    end.parents = [outs[i]._node for i in varying]
    end.vjp = lambda cotangents: [cotangents[i] for i in varying]

    def pull(cotangents: Sequence[Any]) -> list[Any]:
        shares, found = {end: (cotangents, False)}, {}
        with _boxed_by(ArrayBox):  # rules of autograd's linalg write to arrays of their own
            for node in toposort(end):
                found[node] = share = shares.pop(node)[0]
                for parent, part in zip(node.parents, node.vjp(share), strict=True):
                    shares[parent] = add_outgrads(shares.get(parent), part)
        return [found[r] if r in found else xp.zeros_like(leaf) for r, leaf in zip(roots, leaves, strict=True)]

    return [out._value if i in varying else out for i, out in enumerate(outs)], pull


def _read_only(x: Any) -> Any:
    if not isinstance(x, numpy.ndarray):
        return x
    view = x.view()
    view.flags.writeable = False
    return view


def _left(x: Any) -> Any:
    """What went out of a trace beside its value, without the box of that trace."""
    return x._value if isbox(x) and x._trace > trace_stack.top else x
