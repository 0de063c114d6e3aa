"""Calls of the audited function on the problems of one kind, and the objectives that hypotheses are computed from."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from metaspec.backend.protocol import Backend
from metaspec.backend.registry import registration_of
from metaspec.backend.selection import get_backend
from metaspec_conformance.audit import problem as problems
from metaspec_conformance.audit.calls.audited_function import AuditedFunction
from metaspec_conformance.audit.calls.call_arguments import ProblemInputs
from metaspec_conformance.audit.calls.learners import layout
from metaspec_conformance.audit.calls.native_models import NativeModels, native_models
from metaspec_conformance.audit.calls.observation import Observed
from metaspec_conformance.audit.calls.observing import observe
from metaspec_conformance.audit.calls.problem_data import CallInputs, ProblemData
from metaspec_conformance.audit.calls.signature import Signature
from metaspec_conformance.audit.hypotheses.loss_derivatives import Derivatives, of_supplied
from metaspec_conformance.audit.hypotheses.objective import Objective, Vector
from metaspec_conformance.audit.hypotheses.prediction import Predictor
from metaspec_conformance.audit.problem import Problem
from metaspec_conformance.audit.thresholds import FIT_SETTINGS
from metaspec_conformance.judging import error_model
from metaspec_conformance.oracles.extended_precision import EXACT, perturbation


@dataclass
class AuditHarness:
    """Calls one function on problems drawn by seed.

    Attributes:
        function: The audited function.
        signature: The arguments that it names.
        B: Its framework's backend.
        models: Its framework's models, where it names `model`.
        problem: The supplied kind, or a user's own.
        dtype: The format of what goes in.
        reading: What the result is said to be.
        notify: Called with True before and False after each call, for whoever keeps the time.
        seconds: What all calls took.
        autocast: The formats of two bytes that calls let the framework cast to by itself.
    """

    function: AuditedFunction
    signature: Signature
    B: Backend
    models: NativeModels | None
    problem: str | Problem
    dtype: str
    reading: str
    notify: Callable[[bool], None] = lambda calling: None
    seconds: float = 0.0
    autocast: set[str] = field(default_factory=set)
    _objectives: dict[Any, Objective] = field(default_factory=dict)
    _loaded: Any = None
    _derivatives: Derivatives | None = None

    @cached_property
    def data(self) -> ProblemData:
        """What the problem has."""
        return ProblemData(self.problem, self.B, self.models)

    @property
    def count(self) -> int:
        """How many tasks a problem has."""
        return self.data.task_count

    @property
    def wide_reference(self) -> bool:
        """Whether truth is computed in a wider format than float64: on NumPy."""
        return self.data.portable

    def call(self, inputs: CallInputs, fresh: bool = False) -> Observed:
        """Call the function; `fresh`: with its module as it was when it was first imported, where that can be had."""
        if self._loaded is None:
            self._loaded = self.function.load()
        if fresh:
            self._loaded = self.function.reload() or self._loaded
        given, shapes = self._given(inputs), self.objective(inputs).shapes
        begun = time.perf_counter()
        self.notify(True)
        with self._noting_autocast() as formats:
            found = observe(self._loaded, self.signature, given, self.B, self.models, shapes, self.dtype, self.reading)
        self.autocast |= formats
        self.notify(False)
        self.seconds += time.perf_counter() - begun
        return found

    def _noting_autocast(self) -> AbstractContextManager[set[str]]:
        if not registration_of(self.B.name).auditing:
            return nullcontext(set())
        return native_models(self.B.name).noting_autocast()

    def in_single_precision(self) -> None:
        """Give float32 from now on."""
        self.dtype, self._objectives, self._derivatives = "float32", {}, None

    def objective(self, inputs: CallInputs) -> Objective:
        """Return the problem's objective in the format that hypotheses are searched in."""
        key = (inputs.seed, inputs.equal)
        if key not in self._objectives:
            self._objectives[key] = self._objective(inputs, "float64", None)
        return self._objectives[key]

    def exact_objective(self, inputs: CallInputs, seed: int | None) -> Objective:
        """Return the objective in the widest format there is, with rounding errors drawn from `seed` unless None."""
        return self._objective(inputs, "longdouble", seed)

    def predictor(self, inputs: CallInputs, objective: Objective | None = None) -> Predictor:
        """Return what predicts a call's results: on the objective that is searched on, or on another one of it."""
        objective = self.objective(inputs) if objective is None else objective
        return Predictor(objective, self.phi(inputs, objective), self.data.learned(inputs, self.signature.names))

    def phi(self, inputs: CallInputs, objective: Objective) -> Vector:
        """Return the meta-parameters as a vector of the objective's format."""
        leaves = [np.reshape(leaf, -1) for leaf in objective.B.tree_flatten(self.data.params(inputs))[0]]
        return np.concatenate(leaves).astype(np.longdouble if objective.dtype == "longdouble" else np.float64)

    @cached_property
    def _learner_order(self) -> Sequence[tuple[int, bool]]:
        assert self.models is not None
        code = self._loaded
        network = code.network_of(code.make(FIT_SETTINGS), self.models)
        return layout(network, self.models, str(self.problem))

    def _learner_maker(self, values: Sequence[Any], settings: Any) -> Callable[[], Any]:
        """Return a function that makes a learner and its network with these parameters."""
        models, code = self.models, self._loaded
        assert models is not None

        def made() -> Any:
            learner = code.make({**FIT_SETTINGS, **settings})
            network = code.network_of(learner, models)
            models.assign(network, dict(zip(models.parameters(network), values, strict=True)))
            models.prepare(learner)
            return learner, network

        return made

    def _objective(self, inputs: CallInputs, dtype: str, seed: int | None) -> Objective:
        rounding = perturbation(error_model.PERTURBATION, seed) if seed is not None else EXACT
        numpy, data = get_backend(problems.REFERENCE), self.data
        params, tasks = data.params(inputs), data.tasks(inputs)
        if isinstance(self.problem, str):
            known = of_supplied(self.problem) if seed is None else None
            return Objective(numpy, problems.loss(self.problem), params, tasks, dtype, rounding, known)
        B, loss = (numpy, self.problem.loss) if data.portable else (self.B, data.native_loss())
        tasks, dtype = (data.plain(tasks), dtype) if data.portable else (tasks, self.dtype)
        known = None if data.portable and seed is not None else self._derivatives
        found = Objective(B, loss, params, tasks, dtype, rounding, known)
        self._derivatives = self._derivatives or (found.derivatives if seed is None else None)
        return found

    def _given(self, inputs: CallInputs) -> ProblemInputs:
        settings = {k: x for k, x in inputs.settings.items() if k in self.signature.names or k == "outer_lr"}
        tasks, data = self.data.tasks(inputs), self.data
        chosen = data.labelled([tasks[i] for i in inputs.tasks])
        learned = data.learned_trees(inputs, self.signature.names)
        if isinstance(self.problem, Problem):
            loss = self.problem.loss
            if self.problem.model is None:
                return ProblemInputs(data.params(inputs), chosen, settings, loss, learned=learned)
            make = data.model_maker(inputs)
            order = data.model_order()
            return ProblemInputs(None, chosen, settings, loss, loss, make=make, order=order, learned=learned)
        params, loss = data.params(inputs), problems.loss(self.problem)
        if self.signature.style == "learner":
            assert self.models is not None
            values = list(params.values()) if isinstance(self.problem, str) else params
            order = self._learner_order
            make = self._learner_maker([values[i].T if turned else values[i] for i, turned in order], settings)
            return ProblemInputs(
                params, chosen, settings, criterion=self.models.criterion(self.problem), make=make, order=order
            )
        if self.models is None:
            return ProblemInputs(params, chosen, settings, loss, learned=learned)
        models, dtype = self.models, self.dtype
        return ProblemInputs(
            params,
            chosen,
            settings,
            loss,
            model_loss=models.loss(self.problem),
            criterion=models.criterion(self.problem),
            make=lambda: models.network(params, dtype),
            order=data.model_order() if "model" in self.signature.names else (),
            learned=learned,
        )
