"""What makes a backend fast. Every default computes the right result, only more slowly than the framework could."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from metaspec.task import Array, Tree

if TYPE_CHECKING:
    from metaspec.backend.protocol import Backend

LoopKind = Literal["path", "state", "solve"]


class Tuning:
    """Speed settings of one backend; an adapter subclasses it and names the subclass in `Backend.tuning_type`.

    Attributes:
        backend: The backend that this object belongs to.
        products_are_trees: Whether the products of `linearize_grad` are trees of arrays, which a `scan` can carry.
        joined_bytes: Solvers join trees of at most this many bytes into one vector before they iterate.
        eager_compiles: Whether eager code compiles each operation for each shape: what is called once is then compiled
            as a whole in less time.
    """

    products_are_trees: ClassVar[bool] = False
    joined_bytes: ClassVar[int] = 0
    eager_compiles: ClassVar[bool] = False

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def batch_bytes(self, params: Tree) -> int | None:
        """Return how many bytes of parameters, over all tasks of a chunk, are best computed at once (None: any number).

        See metaspec.algorithms.meta_batch.
        """
        return None

    def map_tasks(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        """Return f, an algorithm on one task, with every leaf of its arguments and results stacked on axis 0.

        Every loss that f calls has come through `task_loss`.
        """
        return self.backend.vmap(f)

    def task_loss(self, loss: Callable[[Tree, Tree], Any], known_by: Any) -> Callable[[Tree, Tree], Any]:
        """Return the loss in the form in which algorithms call it, within `map_tasks` too.

        Args:
            loss: (params, batch) -> (value, aux) of one task.
            known_by: The user's function; what is found out about the loss may be remembered for it.
        """
        return loss

    def unroll_limit(self, loop: LoopKind = "path") -> int | None:
        """Return up to how many steps a loop is written out; None, which suits eager code, for any number.

        Under a compiler every copy of a loop's body costs compile time, and in straight code common-subexpression
        elimination undoes recomputation.

        Args:
            loop: "path" keeps something of every step for the backward pass; "state" keeps the last state alone;
                "solve" is "state" with a body that calls a linearisation made outside of the loop.
        """
        return None

    def add_scaled(self, x: Sequence[Array], c: float, y: Sequence[Array]) -> Sequence[Array]:
        """Return x + c y, leaf by leaf."""
        return [a + c * b for a, b in zip(x, y, strict=True)]

    def all_finite(self, leaves: Sequence[Array]) -> Array:
        """Return whether no leaf has a NaN or an infinity, as a boolean scalar array."""
        xp = self.backend.xp
        return reduce(xp.logical_and, [xp.all(xp.isfinite(leaf)) for leaf in leaves])

    def from_numpy_many(self, arrays: Sequence[Any]) -> list[Array]:
        """Convert NumPy arrays together; called where the same shapes come again at every step."""
        return [self.backend.asarray(x) for x in arrays]

    def spread(self, params: Tree, tasks: Tree) -> Tree:
        """Return stacked tasks placed on the devices that the parameters are on; called at every step of a training."""
        return tasks

    def traceable_loss(self, loss: Callable[..., Any]) -> Callable[..., Any]:
        """Return a user's loss in the form that the compiler at work can trace: itself, unless source is converted."""
        return loss

    def compile_with(self, f: Callable[..., Tree], *, native: bool, donate: Sequence[int]) -> Callable[..., Tree]:
        """Compile with the caller's options; an option that the framework does not know is ignored.

        Args:
            f: A function of trees of arrays, as for `Backend.compile`.
            native: Use the framework's best compiler, however long it takes.
            donate: Positions of arguments whose memory the results may use; the caller reads them no more.
        """
        return self.backend.compile(f)
