"""What of a task's examples each inner step sees."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec.checks.arguments import settle
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.task import Array, Tree
from metaspec.trees import tree_map


@dataclass(frozen=True)
class Minibatches:
    """Step k sees the examples k size, ..., k size + size - 1, counted around the end of the batch.

    Every example is seen equally often over a whole number of rounds. The order is the task's own: nothing is drawn, so
    shuffle the examples where tasks are made (Reptile, Nichol, Achiam, Schulman 2018, section 6, takes such batches).

    Attributes:
        size: Examples of a step, at least 1; at most the batch's. None: all of them.
        number: A name under which the loss finds the step's number k in the batch, a dictionary, beside the examples:
            for parameters that differ from step to step (MAML++'s batch normalisation). The query loss at theta_k finds
            k - 1, the number of the step that led there. It is a Python number, or an integer array within a compiled
            loop.

    Example:
        >>> from metaspec import GradientDescent, Minibatches, Reptile
        >>> algo = Reptile(GradientDescent(lr=0.1, steps=5), minibatches=Minibatches(10))
    """

    size: int | None
    number: str | None = None

    def __post_init__(self) -> None:
        if self.size is not None:
            settle(self, size=1)
        if self.number is not None and not isinstance(self.number, str):
            raise InvalidTypeError(f"Minibatches: number must be a string or None, got {self.number!r}")

    def at(self, B: Backend, batch: Tree, k: Any) -> Tree:
        """Return what step k sees: a tree like `batch` with `size` along axis 0, and k where that is asked for.

        Raises:
            InvalidArgumentError: A leaf has fewer examples than `size`, or none at all.
        """
        return self.numbered(batch if self.size is None else self._examples(B, batch, self.size, k), k)

    def numbered(self, batch: Tree, k: Any) -> Tree:
        """Return the batch with k under its name; a batch that is no dictionary as it is."""
        return batch if self.number is None or not isinstance(batch, Mapping) else {**batch, self.number: k}

    def _examples(self, B: Backend, batch: Tree, size: int, k: Any) -> Tree:
        counts = {leaf.shape[0] if leaf.shape else 0 for leaf in B.tree_flatten(batch)[0]}
        if len(counts) != 1 or min(counts) < size:
            raise InvalidArgumentError(
                f"Minibatches: every leaf of the batch needs the same number of examples along axis 0, at least "
                f"{size}; they have {sorted(counts)}"
            )
        (count,) = counts
        if isinstance(k, int):
            first = k * size % count
            if first + size <= count:
                return tree_map(B, lambda x: x[first : first + size, ...], batch)
        offsets = B.xp.arange(size) if isinstance(k, int) else B.xp.arange(size, dtype=k.dtype)
        indices = (k * size + offsets) % count

        def rows(x: Array) -> Array:
            return B.xp.take(x, indices, axis=0)

        return tree_map(B, rows, batch)
