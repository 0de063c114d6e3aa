"""What a scenario is: frozen, plain data that says what to compute and which clauses of SPEC.md it holds to."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from metaspec.algorithms.base import Algorithm
from metaspec.task import Task
from metaspec_conformance.judging.numpy_trees import leaves
from metaspec_conformance.scenarios.portable_losses import Loss

Form = Literal["task", "stacked", "sequence", "adapt"]


@dataclass(frozen=True)
class Scenario:
    """One computation whose result is known.

    The data are float64 arrays that hold float32 numbers, so that both formats get the same inputs to the last bit.

    Attributes:
        id: e.g. "least-squares/maml/steps-3"; unique.
        loss: A name in `losses.LOSSES`, or a portable loss: frozen data with `__call__`, picklable, its repr Python.
        params: The meta-parameters.
        tasks: One task, or a meta-batch.
        algorithm: A metaspec algorithm; a tree of rates holds NumPy arrays.
        form: `meta_gradient` of the one task; `batch_meta_gradient` of the tasks stacked, or as a sequence; `adapt` on
            the one task's support set.
        oracle: "quadratic", the dense closed form, or "extended", backpropagation in extended precision.
        clauses: The clauses of SPEC.md that it exercises.
        compiled: Computed through `compile`.
        dtypes: The formats that it is computed in.
    """

    id: str
    loss: str | Loss
    params: Any
    tasks: tuple[Task, ...]
    algorithm: Algorithm
    oracle: Literal["quadratic", "extended"]
    clauses: tuple[str, ...]
    form: Form = "task"
    compiled: bool = False
    dtypes: tuple[str, ...] = ("float32", "float64")

    @property
    def algorithm_name(self) -> str:
        """MAML, FOMAML, Reptile, IMAML ..."""
        return type(self.algorithm).__name__

    def __post_init__(self) -> None:
        for leaf in leaves((self.params, self.tasks)):
            if leaf.dtype == np.float64 and not np.array_equal(leaf, leaf.astype(np.float32)):
                raise ValueError(f"scenario {self.id}: its data must be float32 numbers")
            leaf.setflags(write=False)
