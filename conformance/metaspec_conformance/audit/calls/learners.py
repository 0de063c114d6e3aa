"""Code that keeps its own network: a class with a step of its own, or the functions of a script.

A learner is made anew for every call, the problem's parameters are put into its network, its step is called, and the
gradients or the moved parameters are read from the network.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from types import ModuleType
from typing import Any

import numpy as np

from metaspec_conformance.audit import problem as problems
from metaspec_conformance.audit.calls.native_models import NativeModels
from metaspec_conformance.audit.calls.signature import DATA, SETS, SETTINGS, Signature, SignatureError

STEPS = ("training_step", "train_step", "forward", "call", "step")
"""The methods that may be a learner's step, the likelier first; the first one that takes data is called."""


@dataclass(frozen=True)
class LearnerCode:
    """A learner's maker, and where its network and its step are.

    Attributes:
        made_by: A class or function that makes the learner, or a script's module.
        network: The attribute that holds the network, "meta.net", say; empty: its only network, or the learner itself.
        step: The method or function that is called; empty: one of `STEPS`.
    """

    made_by: Any
    network: str = ""
    step: str = ""

    def signature(self) -> Signature:
        """Return how it is called: the settings that its maker names, and the arguments of its step."""
        makes = () if isinstance(self.made_by, ModuleType) else _settings(self.made_by)
        names = _step_names(inspect.signature(self._unbound_step()))
        return Signature((*makes, "model"), names or SETS, "learner")

    def make(self, settings: Mapping[str, float]) -> Any:
        """Return a learner."""
        if isinstance(self.made_by, ModuleType):
            return self.made_by
        return self.made_by(**{name: settings[name] for name in _settings(self.made_by)})

    def network_of(self, learner: Any, models: NativeModels) -> Any:
        """Return the learner's network.

        Raises:
            SignatureError: There is none, or there are several.
        """
        if self.network:
            found = learner
            for name in self.network.split("."):
                if not hasattr(found, name):
                    raise SignatureError(f"network: {self.network!r}: there is no {name!r} in the learner")
                found = getattr(found, name)
            return found
        inside = models.inside(learner)
        if len(inside) == 1:
            return next(iter(inside.values()))
        if models.is_model(learner):
            return learner
        raise SignatureError(f"say which attribute is its network with network=; it has {sorted(inside) or 'none'}")

    def called(self, learner: Any, values: Mapping[str, Any]) -> Any:
        """Call the learner's step with the values of the arguments that it names, or by place."""
        step: Callable[..., Any] = getattr(learner, self._step_name())
        parameters = inspect.signature(step).parameters.values()
        if _step_names(inspect.signature(step)):
            return step(**{p.name: values[p.name] for p in parameters if p.name in values})
        needed = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        sets = tuple(values[name] for name in SETS)
        if len(needed) == len(sets):
            return step(*sets)
        return step(sets, *(0 for _ in needed[1:]))  # (batch, batch_idx) of Lightning, (data) of Keras

    def _step_name(self) -> str:
        if self.step:
            return self.step
        for name in STEPS:
            own = getattr(self.made_by, name, None)
            if own is not None and (name in vars(self.made_by) or not inspect.isclass(self.made_by)):
                return name
        raise SignatureError(f"say which of its methods is a meta-training step with step_function=; tried {STEPS}")

    def _unbound_step(self) -> Callable[..., Any]:
        name = self._step_name()
        owner = self.made_by if isinstance(self.made_by, ModuleType) or inspect.isclass(self.made_by) else None
        found = getattr(owner if owner is not None else self.made_by(), name, None)
        if found is None:
            raise SignatureError(f"step_function: the learner has no {name!r}")
        return found if owner is None or isinstance(owner, ModuleType) else _without_self(found)


def is_learner(found: Any) -> bool:
    """Return whether a class has a meta-training step, and no arguments that an audit could give it."""
    if not inspect.isclass(found) or (hasattr(found, "fit") and not any(n in vars(found) for n in STEPS)):
        return False
    return any(name in vars(found) for name in STEPS[:4])


def layout(network: Any, models: NativeModels, kind: str) -> Sequence[tuple[int, bool]]:
    """Return for each of a network's parameters the supplied network's leaf, and whether it is transposed.

    They are matched by shapes and then by values: with random weights the network has to compute
    tanh(x w1 + b1) w2 + b2.

    Raises:
        SignatureError: It is another network.
    """
    weights = problems.supplied(kind, 7).params
    names, held = list(problems.shapes()), models.parameters(network)
    x = np.random.default_rng(7).normal(size=(4, problems.WIDTH))
    expected = np.tanh(x @ weights["w1"] + weights["b1"]) @ weights["w2"] + weights["b2"]
    if sorted(a.shape for a in held.values()) == sorted(w.shape for w in weights.values()):
        for order in permutations(names):
            if any(held[k].shape != weights[n].shape for k, n in zip(held, order, strict=True)):
                continue
            square = [n for n in order if weights[n].ndim == 2]
            for turned in product((False, True), repeat=len(square)):
                flips = dict(zip(square, turned, strict=True))
                placed = [weights[n].T if flips.get(n, False) else weights[n] for n in order]
                models.assign(network, dict(zip(held, placed, strict=True)))
                if np.allclose(models.predicted(network, x), expected, rtol=1e-4, atol=1e-5):
                    return [(names.index(n), flips.get(n, False)) for n in order]
    shapes, expected_shapes = (", ".join(str(a.shape) for a in trees.values()) for trees in (held, weights))
    raise SignatureError(
        f"its network has parameters of shapes {shapes} and is not tanh(x w1 + b1) w2 + b2, the network of the "
        f"supplied problems, with {problems.WIDTH} inputs, hidden units and outputs ({expected_shapes}); "
        "make one of these, or give problem=Problem(loss, tasks, model=...)"
    )


def _settings(made_by: Any) -> tuple[str, ...]:
    return tuple(name for name in inspect.signature(made_by).parameters if name in SETTINGS)


def _step_names(signature: inspect.Signature) -> tuple[str, ...]:
    return tuple(name for name in signature.parameters if name in DATA and name not in ("model", "params"))


def _without_self(method: Callable[..., Any]) -> Callable[..., Any]:
    bound = method.__get__(object())
    return bound if callable(bound) else method
