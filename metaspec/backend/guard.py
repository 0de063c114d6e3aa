"""What protects a user's arrays and settings. Every default suits a framework whose arrays cannot be written to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from metaspec.task import Tree

if TYPE_CHECKING:
    from metaspec.backend.protocol import Backend


class Guard:
    """Protection of the user by one backend; an adapter subclasses it and names the subclass in `Backend.guard_type`.

    Attributes:
        backend: The backend that this object belongs to.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def detach(self, tree: Tree) -> Tree:
        """Return the same values outside of any recording that the framework keeps on arrays."""
        return tree

    def private_copy(self, tree: Tree) -> Tree:
        """Return `detach(tree)`, copied where arrays can be written to: a loss that does spares the caller's."""
        return self.detach(tree)

    def attach(self, value: Tree, params: Tree, pullback: Callable[[Tree], Tree]) -> Tree:
        """Return `value` as a part of the recording that the framework keeps on `params`, if it keeps one.

        Args:
            value: Detached results.
            params: As the user gave them.
            pullback: Cotangent of `value` -> its share of `params`; called when the user differentiates, once or more.
        """
        return value

    def compute_context(self, wide: str | None) -> AbstractContextManager[None]:
        """Return the context of every computation; `wide`, its widest dtype beyond float32, is honoured within.

        At float32 and below the user's own choice of fast matrix products stands.
        """
        return nullcontext() if wide is None else self.backend.precision(wide)

    def constant_context(self) -> AbstractContextManager[None]:
        """Return the context in which Python may look at what the framework computes, though a trace is at work."""
        return nullcontext()

    def per_device(self, params: Tree, data: Tree) -> Tree:
        """Return parameters whose derivatives on each device are those of that device's part of the data.

        Raises:
            MetaspecError: The framework would add the derivatives over devices, and cannot be kept from it.
        """
        return params

    def read_only_view(self, tree: Tree) -> Tree:
        """Return the tree in new containers, with leaves that refuse to be written to where the framework has such."""
        leaves, structure = self.backend.tree_flatten(tree)
        return self.backend.tree_unflatten(structure, leaves)

    def version_counter(self, leaves: Sequence[Any]) -> Any:
        """Return a value that changes when a leaf is written to in place; None where arrays cannot be."""
        return None

    def settings(self) -> Mapping[str, Any]:
        """Return the process-wide settings that numbers depend on, by name; metaspec changes none of them."""
        return {}
