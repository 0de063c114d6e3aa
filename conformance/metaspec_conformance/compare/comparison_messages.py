"""What a comparison's workers are told and what they answer: plain data."""

from dataclasses import dataclass, field
from typing import Any, Literal

from metaspec.algorithms.base import Algorithm
from metaspec.task import Task
from metaspec_conformance.compare.layout import Layout, Leaves

Until = Literal["loss", "gradient", "end"]


@dataclass(frozen=True)
class Source:
    """Something of the user's: "module:attribute" or "file.py:attribute", or the pickled object."""

    place: str
    pickled: bytes | None = None

    @property
    def module(self) -> str:
        """The module or file."""
        return self.place.rpartition(":")[0]


@dataclass(frozen=True)
class Side:
    """One loss on one backend.

    Attributes:
        name: What it is called, e.g. "torch".
        backend: As a worker names it: a registered name, or module:attribute.
        loss: Where its loss is.
        params: Where its own parameters are; None: it has those of the first side.
        task: Where its own task is; None: it has that of the first side.
        mapping: Where it is said which of its parameters is which of the first side's.
        defaults: Of what is None, that for which an attribute of this name of the loss's module stands in.
    """

    name: str
    backend: str
    loss: Source
    params: Source | None = None
    task: Source | None = None
    mapping: Source | None = None
    defaults: tuple[str, ...] = ()


@dataclass(frozen=True)
class SideReady:
    """A worker's first answer: what it found.

    Attributes:
        versions: What the backend's numbers depend on.
        params: The side's own parameters by name, in its tree's order.
        skeleton: Their tree, where it is made of plain containers.
        task: The side's own task, NumPy arrays.
        mapping: As the user wrote it.
        error: Why it cannot work.
    """

    versions: dict[str, str] = field(default_factory=dict)
    params: Leaves | None = None
    skeleton: Any = None
    task: Task | None = None
    mapping: Any = None
    error: str = ""


@dataclass(frozen=True)
class PowerLaw:
    """k n^p, n the number of examples: axis 0 of a batch."""

    k: float
    p: int = 0

    def __call__(self, n: int) -> float:
        """Return the value at n."""
        return self.k * float(n) ** self.p


@dataclass(frozen=True)
class Variant:
    """One computation on one side: the problem as given, or changed in order to test an explanation.

    The loss that is computed with is (loss(theta', batch) - offset(n) - decay / 2 ||theta'||^2) * scale(n); theta' has
    the leaves of `replaced` in place of its own, and those named in `frozen` without derivatives.

    Attributes:
        params: The meta-parameters by common names.
        task: NumPy arrays.
        direction: What Hessians are multiplied with, by common names.
        algorithm: A metaspec algorithm.
        dtype: In which format.
        layout: The side's.
        rounding: (size, seed) of perturbed arithmetic; on the backend numpy alone.
        until: How far to go.
    """

    params: Leaves
    task: Task
    direction: Leaves
    algorithm: Algorithm
    dtype: str
    layout: Layout
    scale: PowerLaw = PowerLaw(1.0)
    offset: PowerLaw = PowerLaw(0.0)
    decay: float = 0.0
    frozen: tuple[str, ...] = ()
    replaced: Leaves = field(default_factory=dict)
    rounding: tuple[float, int] | None = None
    until: Until = "end"


Stages = dict[str, Leaves]
"""What was computed: by stage, then by common name, or `SCALAR` for a number."""

SCALAR = "loss"


@dataclass(frozen=True)
class Answer:
    """One computation's stages, or why there are none: what was raised, or how the process died."""

    stages: Stages
    error: str = ""
    died: bool = False
