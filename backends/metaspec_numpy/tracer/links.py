"""How a box shares memory with others: which array it is a view of, and how often each was written to."""

from typing import Any

from metaspec.errors import MutationError, UnsupportedError

INPUT = (
    "a write in place (`x[...] = value`, `+=`, `out=`, `fill`, `sort`) to a traced array that is a parameter or a "
    "batch, or a view of one: a loss must not mutate what it is given. Write to a copy (h = x.copy()), or bind a new "
    "array (h = x + 1, np.where(mask, value, x))."
)
UNCERTAIN = (
    "reshape or ravel, then a write in place to the array or to the reshaped one, and now the other is read: whether "
    "NumPy would have made a view or a copy depends on the layout in memory, which a traced array does not have. Write "
    "x.reshape(...).copy() or x.flatten() for a copy, or write before reshaping."
)
READ_ONLY = "a write in place to the result of broadcast_to, which is read-only, as in NumPy; write to a copy of it"


class Link:
    """The link of one box.

    Attributes:
        parent: the box that this one is a view of; None for none.
        primitive, params: what reads this one from the parent.
        seen: the parent's version that was read.
        version: how often this one was written to.
        uncertain: whether NumPy may have made a copy.
        fault: what is said when this one, or a view of it, is read; None where it may be.
    """

    __slots__ = ("fault", "params", "parent", "primitive", "seen", "uncertain", "version")

    def __init__(self, parent: Any = None, primitive: Any = None, params: Any = None) -> None:
        self.parent, self.primitive, self.params = parent, primitive, params
        self.seen = 0 if parent is None or parent.link is None else parent.link.version
        self.version, self.uncertain, self.fault = 0, False, None

    def settle(self, x: Any) -> None:
        """Reads x, the box of this link, again if its parent was written to."""
        if self.fault is not None:
            raise UnsupportedError(self.fault)
        parent = self.parent
        if parent is None or parent.link is None:
            return
        parent.link.settle(parent)
        if parent.link.version != self.seen:
            if self.uncertain:
                raise UnsupportedError(UNCERTAIN)
            become(x, self.primitive(parent, **self.params))
            self.seen, self.version = parent.link.version, self.version + 1

    def view(self, x: Any, primitive: Any, params: Any) -> "Link":
        """The link of what the primitive makes of x, the box of this link."""
        return Link(x, primitive, params)

    def write(self, x: Any, new: Any) -> None:
        """Gives x, the box of this link, and all that shares memory with it, the value of `new`."""
        self.settle(x)
        parent = self.parent
        if parent is not None:
            parent.link = parent.link or Link()
            if self.uncertain:
                parent.link.root().fault, self.parent = UNCERTAIN, None
            else:
                parent.link.write(parent, self.primitive.undo(parent, new, **self.params))
                self.seen = parent.link.version
        become(x, new)
        x.link, self.version = self, self.version + 1

    def root(self) -> "Link":
        """The link of the array that this one's box is a view of."""
        if self.parent is None:
            return self
        self.parent.link = self.parent.link or Link()
        root: Link = self.parent.link.root()
        return root


class InputLink(Link):
    """The link of all inputs and of their views: none of them ever changes."""

    __slots__ = ()

    def settle(self, x: Any) -> None:
        pass

    def view(self, x: Any, primitive: Any, params: Any) -> Link:
        return self

    def write(self, x: Any, new: Any) -> None:
        raise MutationError(INPUT)


INPUT_LINK = InputLink()


def read_only(x: Any, new: Any, **params: Any) -> Any:
    """The `undo` of a primitive whose result may not be written to."""
    raise MutationError(READ_ONLY)


def become(x: Any, new: Any) -> None:
    """Gives the box x the value of the box `new`; its link stays."""
    link = x.link
    x.__class__ = type(new)
    x.__dict__ = new.__dict__ | {"link": link}
