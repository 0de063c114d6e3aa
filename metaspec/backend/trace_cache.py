"""`compile` over trees for frameworks that trace flat functions of arrays: one trace per signature."""

import logging
import pickle
from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.errors import InvalidTypeError
from metaspec.task import Array, Tree

FlatFunction = Callable[..., Any]
logger = logging.getLogger("metaspec")

MISS = object()
"""What `quick` of a compiled function returns where it does not know such arguments."""
PLAIN = (bool, int, float, complex, str, bytes, type(None))
MOST = 64  # traces of one function: each takes a second or more to make, and megabytes
_TRACING = RLock()  # frameworks' tracers are not made for several threads


class TraceCache:
    """A function of trees that is traced once for each structure, shapes and dtypes of its arguments.

    Leaves that are no arrays are constants of the trace. Under a transformation the function itself is called, and for
    what would need more than MOST traces: to make one in place of another at every call would take far longer.

    Args:
        backend: Whose arrays the function takes.
        f: The function.
        trace: (flat f, example arrays) -> the traced flat function. It must have run flat f when it returns: only then
            is the structure of the result known.
        signature: Array -> what a trace depends on, hashable.
        ambient: () -> what it depends on beside its arguments, hashable: settings of the framework.
        kinds: Leaves -> the signatures of all of them, hashable, where each is a plain array with values and no
            transformation is at work; else None. With it a call of what is traced looks at its arguments once.
    """

    def __init__(
        self,
        backend: Backend,
        f: Callable[..., Tree],
        trace: Callable[[FlatFunction, Sequence[Array]], FlatFunction],
        signature: Callable[[Array], Any],
        ambient: Callable[[], Any] = lambda: None,
        kinds: Callable[[Sequence[Any]], Any] = lambda leaves: None,
    ) -> None:
        self._backend, self._f, self._trace, self._signature, self._ambient = backend, f, trace, signature, ambient
        self._kinds = kinds
        self._traces: dict[Any, tuple[FlatFunction, Any]] = {}
        self._of_kinds: dict[Any, tuple[FlatFunction, Any]] = {}
        self._full = False

    def quick(self, args: Sequence[Tree]) -> Tree:
        """Return the result for plain arrays that something was traced for; else MISS."""
        leaves, structure = self._backend.tree_flatten(args)
        known = self._of_kinds.get((structure, self._ambient(), self._kinds(leaves)))
        if known is None:
            return MISS
        program, out = known
        return self._backend.tree_unflatten(out, program(*leaves))

    def __call__(self, *args: Tree) -> Tree:
        result = self.quick(args)
        return self._looked_at(args) if result is MISS else result

    def _looked_at(self, args: Sequence[Tree]) -> Tree:
        B = self._backend
        leaves, structure = B.tree_flatten(args)
        flags = [B.is_array(leaf) for leaf in leaves]
        arrays = [leaf for leaf, flag in zip(leaves, flags, strict=True) if flag]
        if not all(B.is_concrete(array) for array in arrays):
            return self._f(*args)
        key = (
            structure,
            self._ambient(),
            *(self._signature(x) if flag else _constant(x) for x, flag in zip(leaves, flags, strict=True)),
        )
        with _TRACING:
            known = self._traces.get(key)
            if known is None and len(self._traces) < MOST:
                known = self._traces[key] = self._traced(leaves, flags, structure)
            kinds = self._kinds(leaves) if known and all(flags) else None  # the values of others are constants
            if known and kinds is not None:
                self._of_kinds[structure, key[1], kinds] = known
        if known is None:
            self._tell_that_it_is_full()
            return self._f(*args)
        program, out = known
        return B.tree_unflatten(out, program(*arrays))

    def _tell_that_it_is_full(self) -> None:
        if not self._full:
            self._full = True
            logger.warning(
                "compile: the function was given more than %d kinds of arguments (shapes, dtypes or structures, or "
                "other values of what is no array); those beyond run uncompiled. Pass numbers that change as arrays, "
                "and pad or group tasks to fewer sizes",
                MOST,
            )

    def _traced(self, leaves: Sequence[Any], flags: Sequence[bool], structure: Any) -> tuple[FlatFunction, Any]:
        flat, out = self._backend.flat_function(self._f, structure)

        def of_arrays(*arrays: Array) -> Sequence[Array]:
            given = iter(arrays)
            return flat(*(next(given) if flag else leaf for leaf, flag in zip(leaves, flags, strict=True)))

        program = self._trace(of_arrays, [leaf for leaf, flag in zip(leaves, flags, strict=True) if flag])
        if not out:
            raise InvalidTypeError(
                f"TraceCache of backend {self._backend.name!r}: trace must run the function that it is given before it "
                "returns; call what it makes once with the examples"
            )
        return program, out[0]


def _constant(x: Any) -> Any:
    """Return a hashable key that tells a leaf that is no array from others, all that is in it included.

    What cannot be pickled (a lambda, an open file) is itself alone, and kept: another would get its address.
    """
    if type(x) in PLAIN:
        return type(x), repr(x)  # 0.0 and -0.0 are equal, NaN is not equal to itself
    try:
        return type(x), pickle.dumps(x)
    except Exception:
        return type(x), _Itself(x)


class _Itself:
    """Wraps an unhashable object so that it compares by identity."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.x is other.x

    def __hash__(self) -> int:
        return id(self.x)
