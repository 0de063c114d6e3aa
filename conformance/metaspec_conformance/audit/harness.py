"""The bench that audited code is put on: problems by seed, calls, and the landscapes that hypotheses stand on."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from metaspec.backend.protocol import Backend
from metaspec.backend.selection import get_backend
from metaspec.task import Task
from metaspec_conformance.audit import problem as problems
from metaspec_conformance.audit.calling import Signature, Target
from metaspec_conformance.audit.landscape import Landscape, Vector
from metaspec_conformance.audit.native import NativeModels
from metaspec_conformance.audit.observing import Given, Observed, observe
from metaspec_conformance.audit.problem import Problem, Supplied
from metaspec_conformance.judging import error_model
from metaspec_conformance.judging.numpy_trees import cast, tree_map
from metaspec_conformance.oracles.extended_precision import EXACT, perturbation


@dataclass(frozen=True)
class Setup:
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


@dataclass
class Bench:
    """Calls of one function on the problems of one kind.

    Attributes:
        target: Where the function is.
        signature: What it names.
        B: Its framework's backend.
        models: Its framework's models, where it names `model`.
        problem: The supplied kind, or a user's own.
        dtype: The format of what goes in.
        reading: What the result is said to be.
        notify: Called with True before and False after each call, for whoever keeps the time.
    """

    target: Target
    signature: Signature
    B: Backend
    models: NativeModels | None
    problem: str | Problem
    dtype: str
    reading: str
    notify: Callable[[bool], None] = lambda calling: None
    seconds: float = 0.0
    _lands: dict[Any, Landscape] = field(default_factory=dict)
    _function: Any = None
    _native: Landscape | None = None

    def call(self, setup: Setup, fresh: bool = False) -> Observed:
        """Call the function; `fresh`: with its module as it was when it was first imported, where that can be had."""
        if self._function is None:
            self._function = self.target.load()
        if fresh:
            self._function = self.target.reload() or self._function
        given = self._given(setup)
        shapes = self.land(setup).shapes
        begun = time.perf_counter()
        self.notify(True)
        found = observe(self._function, self.signature, given, self.B, self.models, shapes, self.dtype, self.reading)
        self.notify(False)
        self.seconds += time.perf_counter() - begun
        return found

    def land(self, setup: Setup) -> Landscape:
        """The landscape of a set-up's problem in the format that hypotheses are searched in."""
        key = (setup.seed, setup.equal)
        if key not in self._lands:
            self._lands[key] = self._landscape(setup, "float64", None)
        return self._lands[key]

    def exact(self, setup: Setup, seed: int | None) -> Landscape:
        """The landscape in the widest format there is, with errors drawn from `seed` where that is not None."""
        return self._landscape(setup, "longdouble", seed)

    def phi(self, setup: Setup, land: Landscape) -> Vector:
        """The meta-parameters as a vector of the landscape's format."""
        leaves = [np.reshape(leaf, -1) for leaf in land.B.tree_flatten(self._params(setup))[0]]
        return np.concatenate(leaves).astype(np.longdouble if land.dtype == "longdouble" else np.float64)

    @property
    def count(self) -> int:
        """How many tasks a problem has."""
        return len(problems.RAGGED) if isinstance(self.problem, str) else len(self.problem.drawn(0))

    @property
    def confirms(self) -> bool:
        """Whether the reference is wider than float64: computed on NumPy."""
        return self.land(Setup(0, (0,), {})).B.name == problems.REFERENCE

    def _landscape(self, setup: Setup, dtype: str, seed: int | None) -> Landscape:
        rounding = perturbation(error_model.PERTURBATION, seed) if seed is not None else None
        extra = () if rounding is None else (rounding,)
        numpy = get_backend(problems.REFERENCE)
        if isinstance(self.problem, str):
            drawn = self._drawn(setup)
            return Landscape(numpy, problems.loss(drawn.kind), drawn.params, drawn.tasks, dtype, *extra)
        params, tasks = self._params(setup), self.problem.drawn(setup.seed)
        if self._portable():
            return Landscape(numpy, self.problem.loss, params, self._plain(tasks), dtype, *extra)
        if self._native is None:
            self._native = Landscape(self.B, self._native_loss(), params, tasks, self.dtype)
        return Landscape(self.B, self._native.loss, params, tasks, self.dtype, rounding or EXACT, self._native)

    def _given(self, setup: Setup) -> Given:
        settings = {
            name: value for name, value in setup.settings.items() if name in self.signature.names or name == "outer_lr"
        }
        if isinstance(self.problem, Problem):
            tasks = self.problem.drawn(setup.seed)
            chosen = [tasks[i] for i in setup.tasks]
            own = self.problem
            if own.model is None:
                return Given(self._params(setup), chosen, settings, loss=own.loss)
            make = self._model_maker(setup)
            return Given(None, chosen, settings, loss=own.loss, model_loss=own.loss, make=make, order=self._order())
        drawn = self._drawn(setup)
        chosen = [drawn.tasks[i] for i in setup.tasks]
        loss = problems.loss(drawn.kind)
        if self.models is None:
            return Given(drawn.params, chosen, settings, loss=loss)
        models, params, dtype = self.models, drawn.params, self.dtype
        return Given(
            drawn.params,
            chosen,
            settings,
            loss=loss,
            model_loss=models.loss(drawn.kind),
            criterion=models.criterion(drawn.kind),
            make=lambda: models.network(params, dtype),
            order=self._order() if "model" in self.signature.names else (),
        )

    def _order(self) -> Sequence[tuple[int, bool]]:
        assert self.models is not None
        if isinstance(self.problem, str):
            names = list(problems.shapes())
            return [(names.index(name), transposed) for name, transposed in self.models.layout]
        assert self.problem.model is not None
        names = list(self.models.parameters(self.problem.model()))
        ordered = sorted(names)
        return [(ordered.index(name), False) for name in names]

    def _drawn(self, setup: Setup) -> Supplied:
        assert isinstance(self.problem, str)
        sizes = problems.EQUAL[setup.seed % len(problems.EQUAL)] if setup.equal else problems.RAGGED
        drawn = problems.supplied(self.problem, setup.seed, sizes)
        integers = np.int32 if self.models is None else np.int64
        tasks = tree_map(lambda x: x.astype(integers) if x.dtype.kind == "i" else x, drawn.tasks)
        params = {name: leaf * (1 + setup.nudge) for name, leaf in drawn.params.items()}
        return replace(drawn, params=params, tasks=tasks)

    def _params(self, setup: Setup) -> Any:
        """Plain meta-parameters; a user's own are moved a little for every seed but 0."""
        if isinstance(self.problem, str):
            return self._drawn(setup).params
        if self.problem.params is not None:
            params = self._plain(self.problem.params)
        else:
            assert self.models is not None
            assert self.problem.model is not None
            params = self.models.parameters(self._model())
        if setup.seed == 0:
            return tree_map(lambda leaf: leaf * (1 + setup.nudge), params) if setup.nudge else params
        rng = np.random.default_rng(setup.seed)
        leaves, structure = self.B.tree_flatten(params)
        moved = [(w + (0.1 * np.abs(w) + 0.03) * rng.normal(size=w.shape)).astype(w.dtype) for w in leaves]
        return self.B.tree_unflatten(structure, moved)

    def _plain(self, tree: Any) -> Any:
        leaves, structure = self.B.tree_flatten(tree)
        return self.B.tree_unflatten(
            structure, [np.array(self.B.to_numpy(x) if self.B.is_array(x) else x) for x in leaves]
        )

    def _model(self) -> Any:
        """The user's model, made once: one that is initialised at random must be the same in every call."""
        assert isinstance(self.problem, Problem)
        assert self.problem.model is not None
        if "model" not in self.__dict__:
            self.__dict__["model"] = self.problem.model()
        return self.__dict__["model"]

    def _model_maker(self, setup: Setup) -> Callable[[], Any]:
        assert isinstance(self.problem, Problem)
        assert self.models is not None
        models, make, values = self.models, self.problem.model, self._params(setup)

        def made() -> Any:
            assert make is not None
            model = make()
            models.assign(model, values)
            return model

        return made

    def _native_loss(self) -> Callable[[Any, Any], Any]:
        assert isinstance(self.problem, Problem)
        if self.problem.model is None:
            return self.problem.loss
        assert self.models is not None
        return self.models.functional(self._model(), self.problem.loss)

    def _portable(self) -> bool:
        """Whether the user's loss runs on NumPy arrays, and gives there what it gives on its own framework's."""
        assert isinstance(self.problem, Problem)
        if self.problem.model is not None:
            return False
        if self.B.name == problems.REFERENCE:
            return True
        if "portable" not in self.__dict__:
            self.__dict__["portable"] = self._agrees()
        return bool(self.__dict__["portable"])

    def _agrees(self) -> bool:
        assert isinstance(self.problem, Problem)
        task = self.problem.drawn(0)[0]
        params, plain = cast(self._plain(self.problem.params), np.float64), cast(self._plain(task), np.float64)
        try:
            values = []
            for B, parameters, batch in (
                (get_backend(problems.REFERENCE), params, plain.support),
                (self.B, self.problem.params, task.support),
            ):
                land = Landscape(B, self.problem.loss, parameters, [Task(batch, batch)], "float64")
                theta = np.concatenate(
                    [np.reshape(x, -1) for x in get_backend(problems.REFERENCE).tree_flatten(params)[0]]
                )
                values.append(land.gradient(0, "support", theta))
            return bool(np.allclose(values[0], values[1], rtol=1e-9, atol=1e-12))
        except Exception:
            return False
