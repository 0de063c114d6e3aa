"""The parameters, tasks and losses of an audit's problem, drawn by seed: a supplied problem's or a user's own."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from metaspec.backend.protocol import Backend
from metaspec.backend.selection import get_backend
from metaspec.task import Task
from metaspec_conformance.audit import problem as problems
from metaspec_conformance.audit.calls.native_models import NativeModels
from metaspec_conformance.audit.hypotheses.objective import Objective
from metaspec_conformance.audit.problem import Problem, Supplied
from metaspec_conformance.judging.numpy_trees import cast, tree_map


@dataclass(frozen=True)
class CallInputs:
    """The inputs of a call.

    Attributes:
        seed: Of the problem.
        tasks: Which of its tasks go in.
        settings: All settings by name; those that the function names are given to it.
        equal: Whether all tasks have equal sizes.
        nudge: By how much, relatively, the parameters are changed.
    """

    seed: int
    tasks: tuple[int, ...]
    settings: Mapping[str, float]
    equal: bool = False
    nudge: float = 0.0


LabelFormat = Literal["int64", "int32", "one-hot"]
LABEL_FORMATS: tuple[LabelFormat, ...] = ("int64", "int32", "one-hot")


@dataclass
class ProblemData:
    """What a problem has for given inputs of a call.

    Attributes:
        problem: The supplied kind, or a user's own.
        B: The backend of the audited function.
        models: Its framework's models, where the function names `model`.
        labels: The format in which the function is given class labels.
    """

    problem: str | Problem
    B: Backend
    models: NativeModels | None
    labels: LabelFormat = "int64"

    @property
    def is_own(self) -> bool:
        """Whether the problem is a user's own."""
        return isinstance(self.problem, Problem)

    @property
    def own(self) -> Problem:
        """The user's own problem."""
        assert isinstance(self.problem, Problem)
        return self.problem

    @cached_property
    def task_count(self) -> int:
        """How many tasks there are."""
        return len(problems.RAGGED) if isinstance(self.problem, str) else len(self.problem.drawn(0))

    @cached_property
    def portable(self) -> bool:
        """Whether the loss runs on NumPy arrays, and gives there what it gives on its own framework's."""
        if isinstance(self.problem, str):
            return True
        if self.problem.model is not None:
            return False
        return self.B.name == problems.REFERENCE or self._agrees_on_numpy()

    @cached_property
    def model(self) -> Any:
        """The user's model, made once: one that is initialised at random must be the same in every call."""
        assert self.own.model is not None
        return self.own.model()

    def supplied(self, inputs: CallInputs) -> Supplied:
        """Return the supplied problem's parameters and tasks."""
        assert isinstance(self.problem, str)
        sizes = problems.EQUAL[inputs.seed % len(problems.EQUAL)] if inputs.equal else problems.RAGGED
        drawn = problems.supplied(self.problem, inputs.seed, sizes)
        params = {name: leaf * (1 + inputs.nudge) for name, leaf in drawn.params.items()}
        return replace(drawn, params=params)

    def params(self, inputs: CallInputs) -> Any:
        """Return NumPy meta-parameters; a user's own are moved a little for every seed but 0."""
        if isinstance(self.problem, str):
            return self.supplied(inputs).params
        if self.problem.params is not None:
            params = self.plain(self.problem.params)
        else:
            assert self.models is not None
            params = self.models.parameters(self.model)
        if inputs.seed == 0:
            return tree_map(lambda leaf: leaf * (1 + inputs.nudge), params) if inputs.nudge else params
        rng = np.random.default_rng(inputs.seed)
        leaves, structure = self.B.tree_flatten(params)
        moved = [(w + (0.1 * np.abs(w) + 0.03) * rng.normal(size=w.shape)).astype(w.dtype) for w in leaves]
        return self.B.tree_unflatten(structure, moved)

    def learned(self, inputs: CallInputs, names: Collection[str]) -> dict[str, Any]:
        """Return the learned inputs that a function names, as vectors: one number for each entry of the parameters.

        "rates" differ from entry to entry, "step_rates" from step to step and leaf to leaf, "sigma" from leaf to leaf.
        """
        leaves = [np.asarray(leaf) for leaf in self.B.tree_flatten(self.params(inputs))[0]]
        rng, settings = np.random.default_rng([inputs.seed, 20170731]), inputs.settings
        steps, found = int(settings["steps"]), {}
        if "rates" in names:
            found["rates"] = [settings["lr"] * rng.uniform(0.5, 1.5, leaf.shape) for leaf in leaves]
        if "step_rates" in names:
            each = [settings["lr"] * rng.uniform(0.5, 1.5, steps) for _ in leaves]
            found["step_rates"] = [np.multiply.outer(r, np.ones(x.shape)) for r, x in zip(each, leaves, strict=True)]
        if "sigma" in names:
            found["sigma"] = [np.full(leaf.shape, rng.uniform(0.4, 0.6)) for leaf in leaves]
        return {
            name: np.concatenate([r.reshape((steps, -1) if name == "step_rates" else -1) for r in rows], axis=-1)
            for name, rows in found.items()
        }

    def learned_trees(self, inputs: CallInputs, names: Collection[str]) -> dict[str, Any]:
        """Return the same as the function gets them: like the parameters, one number or row of steps for each leaf."""
        leaves, structure = self.B.tree_flatten(self.params(inputs))
        ends = np.cumsum([0, *(np.size(leaf) for leaf in leaves)])
        found = {}
        for name, value in self.learned(inputs, names).items():
            parts = [value[..., a:b] for a, b in pairwise(ends)]
            if name == "rates":
                rows = [part.reshape(np.shape(leaf)) for part, leaf in zip(parts, leaves, strict=True)]
            else:
                rows = [part[..., 0] for part in parts]
            found[name] = self.B.tree_unflatten(structure, rows)
        return found

    def tasks(self, inputs: CallInputs) -> Sequence[Task]:
        """Return all tasks."""
        return self.supplied(inputs).tasks if isinstance(self.problem, str) else self.problem.drawn(inputs.seed)

    def labelled(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """Return the supplied problem's tasks with class labels in the format `labels`."""
        if self.problem != "classification":
            return tasks
        return [Task(*(batch._replace(y=_labels(batch.y, self.labels)) for batch in task)) for task in tasks]

    def plain(self, tree: Any) -> Any:
        """Return a tree of the backend with NumPy arrays as leaves."""
        leaves, structure = self.B.tree_flatten(tree)
        return self.B.tree_unflatten(
            structure, [np.array(self.B.to_numpy(x) if self.B.is_array(x) else x) for x in leaves]
        )

    def model_maker(self, inputs: CallInputs) -> Callable[[], Any]:
        """Return a function that makes the user's model with the meta-parameters of `inputs`."""
        assert self.models is not None
        models, make, values = self.models, self.own.model, self.params(inputs)

        def made() -> Any:
            assert make is not None
            model = make()
            models.assign(model, values)
            return model

        return made

    def native_loss(self) -> Callable[[Any, Any], Any]:
        """Return the user's loss as a function of a tree of parameters."""
        if self.own.model is None:
            return self.own.loss
        assert self.models is not None
        return self.models.functional(self.model, self.own.loss)

    def model_order(self) -> Sequence[tuple[int, bool]]:
        """Return for each of the model's parameters the leaf of the objective and whether it is transposed."""
        assert self.models is not None
        if isinstance(self.problem, str):
            names = list(problems.shapes())
            return [(names.index(name), transposed) for name, transposed in self.models.layout]
        assert self.problem.model is not None
        names = list(self.models.parameters(self.problem.model()))
        ordered = sorted(names)
        return [(ordered.index(name), False) for name in names]

    def _agrees_on_numpy(self) -> bool:
        numpy, task = get_backend(problems.REFERENCE), self.own.drawn(0)[0]
        params, plain = cast(self.plain(self.own.params), np.float64), cast(self.plain(task), np.float64)
        theta = np.concatenate([np.reshape(x, -1) for x in numpy.tree_flatten(params)[0]])
        try:
            values = []
            for B, parameters, batch in ((numpy, params, plain.support), (self.B, self.own.params, task.support)):
                objective = Objective(B, self.own.loss, parameters, [Task(batch, batch)], "float64")
                values.append(objective.gradient(0, "support", theta))
            return bool(np.allclose(values[0], values[1], rtol=1e-9, atol=1e-12))
        except Exception:
            return False


def _labels(y: Any, form: LabelFormat) -> Any:
    """Return classes as integers, or as rows of an identity matrix."""
    return np.eye(problems.WIDTH)[y] if form == "one-hot" else y.astype(form)
