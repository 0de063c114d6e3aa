"""Inner steps on parts of a task's examples."""

from dataclasses import dataclass
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import checked_integer
from metaspec.errors import InvalidArgumentError
from metaspec.task import Array, Tree
from metaspec.trees import tree_map


@dataclass(frozen=True)
class Minibatches:
    """Step k sees the examples k size, ..., k size + size - 1, counted around the end of the batch.

    Every example is seen equally often over a whole number of rounds. The order is the task's own: nothing is drawn, so
    shuffle the examples where tasks are made (Reptile, Nichol, Achiam, Schulman 2018, section 6, takes such batches).

    Attributes:
        size: Examples of a step, at least 1; at most the batch's.

    Example:
        >>> from metaspec import GradientDescent, Minibatches, Reptile
        >>> algo = Reptile(GradientDescent(lr=0.1, steps=5), minibatches=Minibatches(10))
    """

    size: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", checked_integer(self.size, "Minibatches: size", least=1))

    def at(self, B: Backend, batch: Tree, k: Any) -> Tree:
        """Return the examples of step k, a tree like `batch` with `size` along axis 0.

        Raises:
            InvalidArgumentError: A leaf has fewer examples than `size`, or none at all.
        """
        counts = {leaf.shape[0] if leaf.shape else 0 for leaf in B.tree_flatten(batch)[0]}
        if len(counts) != 1 or min(counts) < self.size:
            raise InvalidArgumentError(
                f"Minibatches: every leaf of the batch needs the same number of examples along axis 0, at least "
                f"{self.size}; they have {sorted(counts)}"
            )
        (count,) = counts
        if isinstance(k, int):
            first = k * self.size % count
            if first + self.size <= count:
                return tree_map(B, lambda x: x[first : first + self.size, ...], batch)
        offsets = B.xp.arange(self.size) if isinstance(k, int) else B.xp.arange(self.size, dtype=k.dtype)
        indices = (k * self.size + offsets) % count

        def rows(x: Array) -> Array:
            return B.xp.take(x, indices, axis=0)

        return tree_map(B, rows, batch)
