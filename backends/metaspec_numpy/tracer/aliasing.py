"""Arrays that share memory: what NumPy does in place, done to boxes whose values are never altered.

A write gives a box another value, so that every name of the box sees it; what tapes and recordings hold are twins,
which keep the value that was used. A view (a row, a slice, a transpose) knows its parent and the primitive that reads
it: a write to the view writes to the parent, and a view is read again when the parent was written to. Whether `reshape`
gives a view or a copy depends in NumPy on the layout in memory, which a trace does not know: after a write to either,
the other refuses to be read. NumPy's scalars are no arrays: a box of rank 0 may be written to if it has a link.
"""

from typing import Any

import numpy

from metaspec_numpy.tracer.core import Box, shape_of
from metaspec_numpy.tracer.links import INPUT_LINK, Link


def settled(x: Any) -> Any:
    """`x`, read again if it is a view of what was written to."""
    if isinstance(x, Box) and x.link is not None:
        x.link.settle(x)
    return x


def twin(x: Any) -> Any:
    """Another box of the same value, which shares no memory with `x`; what is not a box is returned as it is."""
    if not isinstance(x, Box):
        return x
    if x.link is not None:
        x.link.settle(x)
    new = object.__new__(type(x))
    new.__dict__.update(x.__dict__)
    new.__dict__.pop("link", None)
    return new


def snapshot(x: Any) -> Any:
    """The value that `x` has now, for a tape: a twin of a box, a copy of an array that may be written to."""
    if not isinstance(x, Box) and isinstance(x, numpy.ndarray):
        spread = 0 in x.strides and isinstance(x.base, numpy.ndarray) and x.base.flags.writeable  # by broadcast_to
        return x.copy() if x.flags.writeable or spread else x
    return twin(x)


def fresh(out: Any) -> Any:
    """The result of a function that gives new arrays, whatever it is made of: twins throughout."""
    if isinstance(out, tuple | list):
        parts = [fresh(part) for part in out]
        return type(out)(*parts) if hasattr(out, "_fields") else type(out)(parts)
    return twin(out)


def protected(x: Any) -> Any:
    """The box `x`, to which nothing may be written from now on."""
    if isinstance(x, Box):
        x.link = INPUT_LINK
    return x


def as_input(x: Any) -> Any:
    """A twin of `x`, to which nothing may be written."""
    return protected(twin(x))


def maybe_view(out: Any, x: Any) -> Any:
    """Marks `out`, a reshaped `x`, as one that may be a copy, if NumPy decides so by the layout in memory."""
    if isinstance(out, Box) and out.link is not None and out.link is not INPUT_LINK and not _splits(x.shape, out.shape):
        out.link.uncertain = True
    return out


def _splits(old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    """Whether no two axes longer than 1 are merged: then a reshape is a view of any layout."""
    ends = {1}
    end = 1
    for n in new[::-1]:
        end *= n
        ends.add(end)
    end = 1
    for n in old[::-1]:
        end *= n
        if end not in ends:
            return False
    return True


def zero_dim(out: Any) -> Any:
    """Marks a box of rank 0 as an array; without a link it is a scalar, which cannot be written to."""
    if isinstance(out, Box) and out.link is None and shape_of(out) == ():
        out.link = Link()
    return out


def write(x: Box, new: Box) -> None:
    """Gives `x`, and all that shares memory with it, the value of `new`, a box of the same shape and dtype."""
    (x.link or Link()).write(x, new)
