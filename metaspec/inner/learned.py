"""Inputs of an inner rule that are learned together with the parameters (Meta-SGD, MAML++, shrinkage)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import expm1, log
from typing import Any, Literal, NamedTuple

from metaspec.backend.patterns import leaf_names, matching
from metaspec.backend.protocol import Backend
from metaspec.backend.selection import resolve
from metaspec.checks.arguments import checked_number
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.task import Array, Tree
from metaspec.trees import row, tree_map

PER = ("all", "leaf", "entry")
MAKE_IT = "algo.init(params) makes it"


class Meta(NamedTuple):
    """Everything that is meta-learned: the parameters and the learned inputs of the algorithm.

    `algo.init(params)` makes it, and `meta_gradient(algo, loss, meta, task).delta` has its structure.

    Attributes:
        params: The meta-parameters phi.
        learned: A dictionary by the argument's name ("lr", "momentum", ...).

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> algo = ms.MAML(ms.GradientDescent(ms.Learned(0.1), steps=2))
        >>> meta = algo.init({"w": np.ones(3)})
        >>> sorted(meta.params), sorted(meta.learned), float(meta.learned["lr"])
        (['w'], ['lr'], 0.1)
    """

    params: Tree
    learned: dict[str, Tree]


def parameters_of(meta: Tree) -> Tree:
    """Return the parameters of a Meta; anything else is parameters itself."""
    return meta.params if isinstance(meta, Meta) else meta


@dataclass(frozen=True)
class Learned:
    """A number that an algorithm takes, learned together with the parameters.

    Attributes:
        value: Where it starts.
        per: "all": one number. "leaf": one for each leaf of `params`. "entry": one for each entry (Meta-SGD). A
            dictionary {name: pattern}: one for each group of leaves; together the patterns match each leaf once. A
            function (B, leaf) -> array: `value` times that array for each leaf, of any shape that the rule reads.
        per_step: One for each of the K inner steps: every array has a leading axis of K. An adaptation of more steps
            goes on with the last one's.
        positive: Learn x = log(exp(value) - 1) and use log(1 + exp(x)), which is positive whatever x is.

    Raises:
        InvalidArgumentError: `value` is not finite, or not > 0 where `positive` is asked for; an unknown `per`.

    Example:
        >>> import numpy as np, metaspec as ms
        >>> algo = ms.MAML(ms.GradientDescent(ms.Learned(0.1, per="leaf"), steps=2))
        >>> algo.init({"w": np.ones(3), "b": np.zeros(())}).learned["lr"]["w"]
        np.float64(0.1)
    """

    value: float
    per: Literal["all", "leaf", "entry"] | Mapping[str, str] | Callable[[Backend, Array], Array] = "all"
    per_step: bool = False
    positive: bool = False

    def __post_init__(self) -> None:
        expected = "a finite number > 0, as positive=True asks" if self.positive else "a finite number"
        value = checked_number(self.value, "Learned: value", expected, lambda x: x > 0 or not self.positive)
        object.__setattr__(self, "value", value)
        if not isinstance(self.per, Mapping) and not callable(self.per) and self.per not in PER:
            raise InvalidArgumentError(
                f"Learned: per must be one of {', '.join(PER)}, a dictionary or a function, got {self.per!r}"
            )
        for name in ("per_step", "positive"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidTypeError(f"Learned: {name} must be True or False, got {getattr(self, name)!r}")

    def init(self, B: Backend, params: Tree, steps: int) -> Tree:
        """Return the learned arrays before the first outer step."""
        leaves = B.tree_flatten(params)[0]
        # log(exp(v) - 1), which overflows for large v, where it is v to the last digit
        start = (log(expm1(self.value)) if self.value < 30 else self.value) if self.positive else self.value

        def full(like: Array) -> Array:
            return each_step(B.xp.zeros_like(like) + start)

        def each_step(one: Array) -> Array:
            return B.xp.stack([one] * steps, axis=0) if self.per_step and steps else one

        def scalar(like: Array) -> Array:
            return full(B.xp.sum(B.xp.zeros_like(like)))

        if isinstance(self.per, Mapping):
            self._groups(B, params)
            return {name: scalar(leaves[0]) for name in self.per}
        if self.per == "all":
            return scalar(leaves[0])
        if callable(per := self.per):
            return tree_map(B, lambda leaf: each_step(start * per(B, leaf)), params)
        return tree_map(B, scalar if self.per == "leaf" else full, params)

    def check(self, B: Backend, raw: Tree, params: Tree, what: str) -> None:
        """Raise InvalidArgumentError where arrays that a user gave are not those of these parameters.

        The number of rows of `per_step` is free: an adaptation may have another number of steps.
        """
        expected = self.init(B, params, 1)
        found, wanted = B.tree_flatten(raw), B.tree_flatten(expected)
        if found[1] != wanted[1]:
            raise InvalidArgumentError(f"{what} must have the structure {wanted[1]}, it has {found[1]}; {MAKE_IT}")
        for path, array, like in zip(B.tree_paths(expected), found[0], wanted[0], strict=True):
            shape, like_shape = tuple(getattr(array, "shape", ())), tuple(like.shape)
            if shape[self.per_step :] != like_shape[self.per_step :] or len(shape) != len(like_shape):
                rows = ", after an axis of K rows," if self.per_step else ""
                raise InvalidArgumentError(
                    f"{what}{path.removeprefix('root')} must{rows} be of shape {like_shape[self.per_step :]}, got "
                    f"shape {shape}; {MAKE_IT}"
                )

    def resolve(self, B: Backend, raw: Tree, params: Tree, k: Any) -> Any:
        """Return what the rule uses at step k: a scalar array, or a tree like `params` that broadcasts against it."""
        if self.per_step:
            raw = tree_map(B, lambda x: row(B, x, k), raw)
        if self.positive:
            raw = tree_map(B, lambda x: B.xp.logaddexp(x, B.xp.zeros_like(x)), raw)
        if not isinstance(self.per, Mapping):
            return raw
        _, structure = B.tree_flatten(params)
        return B.tree_unflatten(structure, [raw[name] for name in self._groups(B, params)])

    def _groups(self, B: Backend, params: Tree) -> list[str]:
        """Return the group of each leaf."""
        assert isinstance(self.per, Mapping)
        groups: list[list[str]] = [[] for _ in leaf_names(B, params)]
        for name, pattern in self.per.items():
            for index in matching(B, params, pattern, f"Learned: per[{name!r}]"):
                groups[index].append(name)
        for leaf, found in zip(leaf_names(B, params), groups, strict=True):
            if len(found) != 1:
                raise InvalidArgumentError(
                    f"Learned: each leaf must match one pattern of per; {leaf!r} matches {found or 'none'}"
                )
        return [found[0] for found in groups]


def initial_meta(
    learned: Mapping[str, Learned], params: Tree, steps: int, backend: str | Backend | None = None
) -> Tree:
    """Return Meta(params, learned arrays), or `params` itself where nothing is learned."""
    if not learned:
        return params
    B = resolve(backend, params)
    with B.guard.compute_context(None):
        return Meta(params, {name: entry.init(B, params, steps) for name, entry in learned.items()})


def meta_parts(learned: Mapping[str, Learned], meta: Tree, algorithm: str) -> tuple[Tree, dict[str, Tree]]:
    """Return the parameters and the learned arrays of what a user passed as `params`.

    Raises:
        InvalidArgumentError: The algorithm learns something and was given bare parameters, or the other way round.
    """
    if isinstance(meta, Meta):
        if set(meta.learned) != set(learned):
            raise InvalidArgumentError(
                f"params: {algorithm} learns {', '.join(learned) or 'nothing'} beside the parameters, the Meta given "
                f"holds {', '.join(meta.learned) or 'nothing'}; make it with algo.init(params)"
            )
        return meta.params, meta.learned
    if learned:
        raise InvalidArgumentError(
            f"params: {algorithm} learns {', '.join(learned)} beside the parameters; pass algo.init(params), a "
            "ms.Meta, in place of params"
        )
    return meta, {}


def with_learned(params: Tree, learned: dict[str, Any]) -> Tree:
    """Return a meta-update in the structure of what `initial_meta` gave."""
    return Meta(params, learned) if learned else params
