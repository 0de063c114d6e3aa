"""A framework's own model and a loss of it as what metaspec takes: a pure function and a tree of parameters.

Each framework's adapter knows its own kinds of model; none is imported here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from inspect import signature
from typing import Any

from metaspec.backend.registry import registrations, under
from metaspec.checks.arguments import check_choice
from metaspec.errors import InvalidTypeError, MutationError
from metaspec.task import Array, Tree

REFUSE, LEAVE = "refuse", "leave"
LOSS_PACKAGES = ("torch", "torchvision", "torchmetrics", "optax", "keras", "tensorflow")


@dataclass(frozen=True)
class Model:
    """A framework's model as metaspec takes it: what `from_model` returns.

    Attributes:
        loss: (params, batch) -> scalar, pure: the model itself is not altered by it.
        params: The model's parameters as they were, the first meta-parameters; arrays of their own.
        restore: Trained parameters -> the model that has them.

    Example:
        >>> import torch
        >>> import metaspec as ms
        >>> m = ms.from_model(torch.nn.Linear(1, 1), lambda net, batch: ((net(batch["x"]) - batch["y"]) ** 2).mean())
        >>> sorted(m.params)
        ['bias', 'weight']
    """

    loss: Callable[[Tree, Tree], Array]
    params: Tree = field(repr=False)
    restore: Callable[[Tree], Any] = field(repr=False)


def from_model(
    model: Any,
    loss: Callable[[Any, Tree], Array],
    *,
    variables: Tree = None,
    running_statistics: str = REFUSE,
    seed: str | None = None,
) -> Model:
    """A loss of a model as a function of the model's parameters.

    | model | `params` | `restore(params)` |
    | --- | --- | --- |
    | torch.nn.Module | {name: tensor}, those that require a gradient | the module itself, altered |
    | flax.nnx.Module | the State of its `nnx.Param` | the module itself, altered |
    | flax.linen.Module | `variables["params"]` | the variables with these parameters |
    | equinox.Module | the module with its floating arrays alone | a new module |
    | keras.Model, on TensorFlow, JAX or PyTorch | a list, like `trainable_variables` | the model itself, altered |

    What is no parameter (buffers, frozen parameters, integers) is a constant of the loss. Dropout and the like are
    refused, as what is random comes in through the batch, unless a seed in the batch says what they draw.

    Args:
        model: The model.
        loss: (model, batch) -> scalar, as one would write it for the model itself, `mse(model(batch["x"]), batch["y"])`
            say. It is handed the model with the parameters in question in it.
        variables: What linen's `init` gave; for linen alone, where it is needed.
        running_statistics: What becomes of running statistics (batch normalisation's) that the loss would alter, which
            would leak from task to task: "refuse" raises an error; "leave" normalises by each batch's own statistics,
            as the meta-learning papers do, and leaves the running ones as they were.
        seed: The name of an integer scalar in each batch, support and query sets each with their own, of which all that
            the model draws is a function: every evaluation on a batch draws the same. For torch.nn.Module; losses of
            JAX's models have a key in the batch, and pass it on.

    Returns:
        Model.

    Raises:
        InvalidTypeError: No kind of model that an installed adapter knows; a loss of outputs and targets.
        MutationError: At once or when the loss runs: it alters running statistics, or draws random numbers.

    Example:
        >>> import torch
        >>> import metaspec as ms
        >>> m = ms.from_model(torch.nn.Linear(1, 1), lambda net, batch: ((net(batch["x"]) - batch["y"]) ** 2).mean())
        >>> algo = ms.FOMAML(ms.GradientDescent(lr=0.01, steps=1))
        >>> run = ms.meta_train(algo, m.loss, m.params, ms.data.Sinusoid(), steps=2)
        >>> m.restore(run.params)
        Linear(in_features=1, out_features=1, bias=True)
    """
    check_choice(running_statistics, "from_model: running_statistics", (REFUSE, LEAVE))
    if not callable(loss):
        raise InvalidTypeError(f"from_model: loss must be a function (model, batch) -> scalar, got {loss!r}")
    _refuse_loss_of_outputs(loss)
    for registration in registrations().values():
        for prefix, maker in registration.models.items():
            if under(prefix, type(model)):
                module, _, attribute = maker.partition(":")
                make = getattr(import_module(module), attribute)
                seeded = {} if seed is None else {"seed": seed}
                if seeded and "seed" not in signature(make).parameters:
                    raise InvalidTypeError(
                        f"from_model: seed= is for modules of torch.nn, whose layers draw by themselves; a "
                        f"{type(model).__name__} takes what it draws from keys or masks in the batch"
                    )
                made: Model = make(model, loss, variables, running_statistics, **seeded)
                return made
    prefixes = [prefix for registration in registrations().values() for prefix in registration.models]
    known = ", ".join(dict.fromkeys(prefix.partition(".src.")[0] for prefix in prefixes))
    given = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
    raise InvalidTypeError(
        f"from_model: expected an instance of a model class of {known}, got {given}; any other model is a loss "
        "(params, batch) -> scalar of yours, and needs no conversion"
    )


def _refuse_loss_of_outputs(loss: Any) -> None:
    """A framework's own loss takes outputs and targets, and would be called with the model and the batch."""
    owner = loss if isinstance(getattr(loss, "__module__", None), str) and hasattr(loss, "__name__") else type(loss)
    package, *path = owner.__module__.split(".")
    if package in LOSS_PACKAGES and not {"functional", "loss", "losses"}.isdisjoint(path):
        raise InvalidTypeError(
            f"from_model: loss is called as loss(model, batch), and {owner.__name__} of {package} takes outputs and "
            'targets; write lambda model, batch: f(model(batch["x"]), batch["y"]), with it as f'
        )


def without_variables(variables: Tree) -> None:
    """Raises InvalidTypeError where variables were given to a model that has its own."""
    if variables is not None:
        raise InvalidTypeError("from_model: variables are for flax.linen alone; this model has its own")


def altered_statistics(names: str, instead: str) -> MutationError:
    """The error for a loss that alters running statistics."""
    return MutationError(
        f"from_model: the loss alters running statistics ({names}), which would leak from task to task. Pass "
        f'running_statistics="leave" to normalise by each batch\'s own statistics and keep the running ones out of it, '
        f"or {instead}"
    )


def random_numbers(names: str, instead: str) -> MutationError:
    """The error for a loss that draws random numbers."""
    return MutationError(
        f"from_model: the loss draws random numbers ({names}), and a meta-gradient is of a function. {instead}, or "
        "have the masks in the batch"
    )
