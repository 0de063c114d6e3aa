"""What the audit asks of a framework that has models with parameters of their own (see `Registration.auditing`)."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, Protocol

from metaspec.backend.registry import registration_of
from metaspec.errors import InvalidArgumentError

Model = Any
Array = Any


class NativeModels(Protocol):
    """A framework's models, criteria and optimisers, as its users know them.

    Attributes:
        layout: Of the supplied network's parameters in the model's order: the name of the portable leaf, and whether it
            is transposed there.
    """

    layout: Sequence[tuple[str, bool]]

    def is_model(self, x: Any) -> bool:
        """Whether an object is a model of the framework."""

    def inside(self, x: Any) -> dict[str, Model]:
        """Return the models with parameters that an object holds, by attribute."""

    def predicted(self, model: Model, x: Array) -> Array:
        """Return the model's outputs of NumPy inputs, in the format of its parameters."""

    def backpropagate(self, returned: Any) -> bool:
        """Backpropagate a scalar loss that a step returned; whether it was one."""

    def prepare(self, learner: Any) -> None:
        """Give a learner what its framework's trainer would give it before a step."""

    def network(self, weights: Mapping[str, Array], dtype: str) -> Model:
        """The supplied network, tanh(x w1 + b1) w2 + b2."""

    def parameters(self, model: Model) -> dict[str, Array]:
        """The trainable parameters by name, as NumPy arrays of their own, in the model's order."""

    def assign(self, model: Model, values: Mapping[str, Array]) -> None:
        """Set them."""

    def gradients(self, model: Model) -> dict[str, Array | None] | None:
        """What backpropagation left on the parameters; None where it left nothing, or the framework leaves nothing."""

    def buffers(self, model: Model) -> dict[str, Array]:
        """What the model holds beside its trainable parameters, by name."""

    def criterion(self, kind: str) -> Callable[[Any, Any], Any]:
        """The framework's own mean squared error ("regression") or cross-entropy ("classification")."""

    def loss(self, kind: str) -> Callable[[Model, Any], Any]:
        """Return the loss (model, batch) -> scalar that has this criterion."""

    def optimizer(self, model: Model, lr: float) -> Any:
        """Plain gradient descent over the model's parameters."""

    def functional(self, model: Model, loss: Callable[[Model, Any], Any]) -> Callable[[Mapping[str, Array], Any], Any]:
        """loss(params, batch), pure, of the parameters by name."""

    def noting_autocast(self) -> AbstractContextManager[set[str]]:
        """Collect the formats of two bytes that the framework casts to by itself while the context is open."""

    def random_state(self) -> bytes:
        """The state of the framework's global generator."""


def native_models(framework: str) -> NativeModels:
    """Return the models of a framework.

    Raises:
        InvalidArgumentError: It has none: its models are trees of arrays, or there are no models.
    """
    place = registration_of(framework).auditing
    if not place:
        raise InvalidArgumentError(
            f"the function names `model`, and {framework!r} has no models that hold their own parameters; name "
            "`params` (a tree of arrays), or give framework="
        )
    module, _, attribute = place.partition(":")
    found: NativeModels = getattr(import_module(module), attribute)()
    return found
