"""The arguments of one call, made anew in the framework's own arrays and models."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metaspec.backend.arrays import asarray
from metaspec.backend.protocol import Backend
from metaspec.task import Task
from metaspec_conformance.audit.calls.native_models import NativeModels
from metaspec_conformance.audit.calls.signature import SETS, Signature
from metaspec_conformance.audit.problem import REFERENCE


@dataclass
class ProblemInputs:
    """What the problem puts in, before it is made native.

    Attributes:
        params: The tree of NumPy arrays, or a user's own tree.
        tasks: The tasks, likewise.
        settings: The numbers by name.
        loss: `loss(params, batch)`; `model_loss`: `loss(model, batch)`.
        criterion: `loss_fn`.
        make: Makes the model.
        order: From the names of the model's parameters to the objective's leaves: (leaf, transposed).
        learned: The learned inputs by name, trees like `params`.
    """

    params: Any
    tasks: Sequence[Task]
    settings: Mapping[str, float]
    loss: Any = None
    model_loss: Any = None
    criterion: Any = None
    make: Callable[[], Any] | None = None
    order: Sequence[tuple[int, bool]] = field(default_factory=tuple)
    learned: Mapping[str, Any] = field(default_factory=dict)


def arguments(
    signature: Signature, given: ProblemInputs, B: Backend, models: NativeModels | None, dtype: str
) -> dict[str, Any]:
    """Return the values of all arguments that a function may name, in its framework's format.

    Args:
        signature: The arguments that the function names.
        given: What the problem puts in.
        B: The function's backend.
        models: Its framework's models, where it names `model`.
        dtype: The format of floating arrays.
    """

    def native(tree: Any) -> Any:
        return asarray(copy.deepcopy(tree) if B.name == REFERENCE else tree, dtype=dtype, backend=B)

    names = signature.names
    values: dict[str, Any] = {name: given.settings[name] for name in given.settings if name in names}
    tasks = [Task(*(native(part) for part in task)) for task in given.tasks]
    values["tasks"] = tasks
    for name, tree in given.learned.items():
        leaves = B.tree_flatten(tree)[0]
        turned = [leaves[i].T if turn and name == "rates" else leaves[i] for i, turn in given.order]
        values[name] = native(turned if given.order else tree)
    if signature.stacks:
        rows = [B.tree_flatten(task)[0] for task in tasks]
        stacked = [B.xp.stack(list(column)) for column in zip(*rows, strict=True)]
        values["stacked"] = B.tree_unflatten(B.tree_flatten(tasks[0])[1], stacked)
        values |= dict(zip(SETS, stacked, strict=False))
    values |= {"task": tasks[0], "support": tasks[0].support, "query": tasks[0].query}
    if "model" in names:
        assert given.make is not None
        values["model"] = given.make()
        if signature.style == "learner":
            values["learner"], values["model"] = values["model"]
        values["loss"] = given.model_loss
    if "params" in names or "model" not in names:
        values["params"], values["loss"] = native(given.params), given.loss
    values["loss_fn"] = given.criterion
    if "optimizer" in names and models is not None and "model" in names:
        values["optimizer"] = models.optimizer(values["model"], given.settings["outer_lr"])
    return values
