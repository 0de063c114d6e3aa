"""A backend held against a golden vector, through metaspec's public functions."""

from typing import Any

import numpy as np

import metaspec as ms
from metaspec.inner.learned import parameters_of
from metaspec_conformance.golden.portable import LOSSES
from metaspec_conformance.golden.vector_records import ALL, Array, Arrays, Vector, VectorAlgorithm, VectorRule
from metaspec_conformance.judging import error_model
from metaspec_conformance.judging.error_model import Measured

LONGDOUBLE = "longdouble"  # NumPy's; other backends have no such format


def measure(vector: Vector, backend: str, dtype: str) -> list[Measured]:
    """How far each leaf of the result is from the expected one, in units of roundoff times the vector's amplification.

    Args:
        vector: From `load()`.
        backend: Name of an installed backend.
        dtype: "float32", "float64", or "longdouble" for NumPy's extended precision.

    Raises:
        ValueError: A leaf of the result has another shape or format than it must have.
    """
    found = _result(vector, backend, dtype)
    return [
        _measured(name, found[name], wanted, vector.amplification.named()[name], dtype)
        for name, wanted in vector.expected.named().items()
    ]


def roundoff(dtype: str) -> float:
    """The unit roundoff of the format."""
    return error_model.EXTENDED_ROUNDOFF if dtype == LONGDOUBLE else error_model.ROUNDOFF[dtype]


def _result(vector: Vector, backend: str, dtype: str) -> dict[str, Any]:
    inputs = vector.inputs
    B = ms.get_backend(backend)
    with B.guard.compute_context(None if dtype == LONGDOUBLE else dtype):
        params = _trees(B, inputs.params, dtype)
        tasks = [
            ms.Task(_trees(B, task.support, dtype), None if task.query is None else _trees(B, task.query, dtype))
            for task in inputs.tasks
        ]
        algorithm = _algorithm(B, inputs.algorithm, dtype)
        meta = _meta(B, inputs.algorithm.rule, algorithm, params, dtype)
        r = ms.batch_meta_gradient(algorithm, LOSSES[inputs.loss], meta, tasks, backend=B)
        delta = parameters_of(r.delta)
        found = {f"delta/{name}": B.to_numpy(delta[name]) for name in inputs.params}
        for which, arrays in vector.expected.learned.items():
            in_input = r.delta.learned[which]
            found |= {f"learned/{which}/{n}": B.to_numpy(in_input if n == ALL else in_input[n]) for n in arrays}
        for name in inputs.params:
            stacked = B.to_numpy(r.adapted[name])
            found |= {f"adapted/{i}/{name}": leaf for i, leaf in enumerate(stacked)}
        return found | {"query_loss": B.to_numpy(r.query_loss)}


def _algorithm(B: ms.Backend, algorithm: VectorAlgorithm, dtype: str) -> Any:
    lr = float(algorithm.lr) if isinstance(algorithm.lr, str) else _trees(B, algorithm.lr, dtype)
    if algorithm.rule is not None:
        return _member(algorithm, algorithm.rule, lr)
    inner = ms.GradientDescent(lr, algorithm.steps)
    if algorithm.name != "IMAML":
        return {"MAML": ms.MAML, "FOMAML": ms.FOMAML, "Reptile": ms.Reptile}[algorithm.name](inner)
    assert algorithm.solver is not None
    assert algorithm.regularization is not None
    damping = float(algorithm.solver.damping)
    solver: Any = ms.DenseSolve(damping=damping)
    if algorithm.solver.name == "cg":
        assert algorithm.solver.steps is not None
        solver = ms.ConjugateGradient(algorithm.solver.steps, damping=damping)
    return ms.IMAML(inner, float(algorithm.regularization), solver)


def _member(algorithm: VectorAlgorithm, rule: VectorRule, lr: Any) -> Any:
    """The member of the family; numbers that are learned start anywhere, `_meta` gives them."""
    given = {name: _input(rule, name) for name in rule.inputs}
    around = {
        name: given.pop(name) for name in ("weight_decay", "sigma", "max_norm", "output", "input") if name in given
    }
    kind = getattr(ms, "Momentum" if rule.name == "Nesterov" else rule.name)
    more: dict[str, Any] = {"nesterov": True} if rule.name == "Nesterov" else {}
    inner = kind(**{"lr": lr, "steps": algorithm.steps, **given, **more})
    if "output" in around:
        inner = ms.MetaCurvature(inner)
    if "max_norm" in around:
        inner = ms.clip_by_norm(inner, around["max_norm"])
    if "sigma" in around:
        inner = ms.Proximal(inner, ms.Sigma(around["sigma"]))
    if "weight_decay" in around:
        inner = ms.decay_weights(inner, around["weight_decay"])
    if algorithm.name == "Reptile":
        return ms.Reptile(inner)
    if algorithm.name == "FOMAML":
        return ms.FOMAML(inner, adapt=rule.adapt)
    if rule.from_zero:
        return ms.CAVIA(inner, rule.from_zero)
    weights = None if rule.query_weights is None else [float(w) for w in rule.query_weights]
    parts = None if rule.minibatch is None else ms.Minibatches(rule.minibatch)
    return ms.MAML(inner, "none", rule.adapt, weights, rule.backprop_steps, parts)


def _input(rule: VectorRule, name: str) -> Any:
    arrays, per_step = rule.inputs[name], name in rule.per_step
    if name not in rule.learned:
        return float(arrays[ALL].values[0])
    if ALL in arrays:
        return ms.Learned(0.5, "all", per_step)
    scalars = all(len(array.shape) == per_step for array in arrays.values())
    return ms.Learned(0.5, "leaf" if scalars else "entry", per_step)


def _meta(B: ms.Backend, rule: VectorRule | None, algorithm: Any, params: Any, dtype: str) -> Any:
    if rule is None or not rule.learned:
        return params
    given = {name: _trees(B, rule.inputs[name], dtype) for name in rule.learned}
    given = {name: arrays.get(ALL, arrays) for name, arrays in given.items()}
    start = algorithm.init(params, backend=B)
    return start._replace(learned={**start.learned, **given})


def _trees(B: ms.Backend, arrays: Arrays, dtype: str) -> dict[str, Any]:
    return {name: B.asarray(as_numpy(leaf, dtype)) for name, leaf in arrays.items()}


def as_numpy(array: Array, dtype: str) -> Any:
    """The array in the format; every string is rounded to it once."""
    if array.values and isinstance(array.values[0], int):
        return np.array(array.values, np.int32).reshape(array.shape)
    kind = np.dtype(dtype).type
    return np.array([kind(x) for x in array.values], dtype).reshape(array.shape)


def _measured(name: str, found: Any, wanted: Array, amplification: Array, dtype: str) -> Measured:
    truth = as_numpy(wanted, LONGDOUBLE)
    if found.dtype.name != np.dtype(dtype).name or found.shape != truth.shape:
        raise ValueError(f"{name}: expected {dtype} of shape {truth.shape}, got {found.dtype} {found.shape}")
    amplified = float(amplification.values[0])
    relative = error_model.relative_error(found, truth)
    tolerance = 2 * error_model.TOLERANCE if dtype == LONGDOUBLE else error_model.tolerance(dtype)
    return Measured(name, relative / (roundoff(dtype) * amplified), tolerance, amplified, relative)
