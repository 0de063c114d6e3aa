"""Where a law is checked: one scenario on one backend in one format, with the public functions at hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

import metaspec as ms
from metaspec.algorithms.base import Algorithm
from metaspec.backend.protocol import Backend
from metaspec.task import MetaGradient, Task
from metaspec_conformance.judging.numpy_trees import tree_map
from metaspec_conformance.scenarios.portable_losses import loss_of
from metaspec_conformance.scenarios.scenario import Scenario

Tree = Any
Array = Any
Loss = Callable[[Tree, Tree], Array]


@dataclass(frozen=True)
class LawContext:
    """What a law computes with.

    Attributes:
        B: The backend.
        dtype: The format.
        scenario: Loss, parameters, tasks and algorithm as plain data.
        target: What names the backend to a worker process; None where it is known as an object alone.
    """

    B: Backend
    dtype: str
    scenario: Scenario
    target: str | None = None

    def array(self, tree: Tree) -> Tree:
        """Plain data as arrays of the backend, floating leaves in the format."""
        if self.dtype != "longdouble":  # which no adapter needs to know
            tree = tree_map(_narrowed, tree)
        return ms.asarray(tree, dtype=self.dtype, backend=self.B)

    @cached_property
    def params(self) -> Tree:
        """The meta-parameters."""
        return self.array(self.scenario.params)

    @cached_property
    def tasks(self) -> list[Task]:
        """The tasks, one by one."""
        return [self.array(task) for task in self.scenario.tasks]

    @property
    def task(self) -> Task:
        """The first task."""
        return self.tasks[0]

    @cached_property
    def stacked(self) -> Task:
        """The tasks with a leading axis; they must be of one size."""
        return self.B.tree_stack(self.tasks)

    @property
    def loss(self) -> Loss:
        """The scenario's loss."""
        return loss_of(self.scenario.loss)

    @cached_property
    def algorithm(self) -> Any:
        """The scenario's algorithm, a tree of rates as arrays."""
        algo: Any = self.scenario.algorithm
        return algo if isinstance(algo.inner.lr, float) else self.inner(algo, lr=self.array(algo.inner.lr))

    def inner(self, algorithm: Any = None, **changes: Any) -> Any:
        """The algorithm with another `lr` or another number of `steps`."""
        algo = self.algorithm if algorithm is None else algorithm
        return replace(algo, inner=replace(algo.inner, **changes))

    def meta_gradient(
        self,
        algorithm: Algorithm | None = None,
        loss: Loss | None = None,
        params: Tree = None,
        task: Task | None = None,
        **options: Any,
    ) -> MetaGradient:
        """`metaspec.meta_gradient`; what is not said is the scenario's."""
        return ms.meta_gradient(
            self.algorithm if algorithm is None else algorithm,
            self.loss if loss is None else loss,
            self.params if params is None else params,
            self.task if task is None else task,
            backend=self.B,
            **options,
        )

    def batch_meta_gradient(
        self,
        algorithm: Algorithm | None = None,
        loss: Loss | None = None,
        params: Tree = None,
        tasks: Task | Sequence[Task] | None = None,
        **options: Any,
    ) -> MetaGradient:
        """`metaspec.batch_meta_gradient`; what is not said is the scenario's."""
        return ms.batch_meta_gradient(
            self.algorithm if algorithm is None else algorithm,
            self.loss if loss is None else loss,
            self.params if params is None else params,
            self.tasks if tasks is None else tasks,
            backend=self.B,
            **options,
        )

    def adapt(
        self, algorithm: Algorithm | None = None, loss: Loss | None = None, params: Tree = None, support: Tree = None
    ) -> Tree:
        """`metaspec.adapt`; what is not said is the scenario's."""
        return ms.adapt(
            self.algorithm if algorithm is None else algorithm,
            self.loss if loss is None else loss,
            self.params if params is None else params,
            self.task.support if support is None else support,
            backend=self.B,
        )

    def gradient(self, batch: Tree, params: Tree = None, loss: Loss | None = None) -> Tree:
        """grad l(params; batch)."""
        return self.B.grad(self.loss if loss is None else loss)(self.params if params is None else params, batch)

    def product(self, batch: Tree, v: Tree, params: Tree = None) -> Tree:
        """H(params; batch) v."""
        return self.B.hvp(self.loss)(self.params if params is None else params, v, batch)


def _narrowed(leaf: Any) -> Any:
    return leaf.astype(np.float64) if isinstance(leaf, np.ndarray) and leaf.dtype == np.longdouble else leaf
