"""Laws of formats: every leaf keeps its own, with all of its digits; what else comes in does not widen it."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import metaspec as ms
from metaspec.algorithms import FOMAML, IMAML, MAML, Reptile
from metaspec.errors import DtypeNotHonouredError
from metaspec.inner.gradient_descent import GradientDescent
from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.solvers.dense_solve import DenseSolve
from metaspec.task import Task
from metaspec_conformance.laws.framework.claims import Claim, Equal, Holds, Same
from metaspec_conformance.laws.framework.coupled_scenario import alone, small
from metaspec_conformance.laws.framework.law import ONE_FORMAT, PROTOCOL, law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.scenarios.scenario import Scenario

typed = partial(law, on=small, applies=alone)
WIDE_ONLY = ("float64",)
FORMATS = ("bfloat16", "float16", "float32", "float64")
NARROW_DIGITS = 2.0**-24 * 16 * 64  # float32's roundoff, the tolerance, an amplification that `small` stays far below


def _algorithms(inner: GradientDescent) -> dict[str, Any]:
    solvers: dict[str, Any] = {"iMAML": ConjugateGradient(2), "iMAML, dense": DenseSolve()}
    implicit = {name: IMAML(inner, regularization=16.0, solver=solver) for name, solver in solvers.items()}
    return {"MAML": MAML(inner), "FO-MAML": FOMAML(inner), "Reptile": Reptile(inner), **implicit}


def _alone(at: LawContext) -> Task:
    """The task whose query set Reptile does not join; `small` has no axis of examples."""
    return Task(at.task.support, None)


def _formats(at: LawContext, tree: Tree) -> list[str]:
    return [at.B.dtype_name(leaf) for leaf in at.B.tree_flatten(tree)[0]]


def _numbers(at: LawContext, tree: Tree) -> Any:
    return np.concatenate([np.asarray(at.B.to_numpy(leaf)).astype("float64") for leaf in at.B.tree_flatten(tree)[0]])


@typed(
    "each leaf of Δ and θ_K has the format of φ's leaf, and its digits", "MS-DTYPE-1", numeric=False, dtypes=WIDE_ONLY
)
def leaves_of_two_formats(at: LawContext) -> Iterator[Claim]:
    B, xp = at.B, at.B.xp
    narrow = B.asarray(np.asarray(at.scenario.params["a"], "float32"), "float32")

    def widened(params: Tree, batch: Tree) -> Array:
        return at.loss({"a": xp.astype(params["a"], params["b"].dtype), "b": params["b"]}, batch)

    for name, algo in _algorithms(at.algorithm.inner).items():
        task = _alone(at) if name == "Reptile" else at.task
        r = at.meta_gradient(algo, widened, {"a": narrow, "b": at.params["b"]}, task)
        formats = _formats(at, r.delta) + _formats(at, r.adapted)
        yield Holds(f"{name}: formats", formats == ["float32", "float64"] * 2, f"they are {formats}")
        found, wanted = _numbers(at, r.delta), _numbers(at, at.meta_gradient(algo, task=task).delta)
        miss = float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
        yield Holds(f"{name}: digits", miss < NARROW_DIGITS, f"relative error {miss:.1e}")


@typed(
    "float32 parameters with float64 data give float32 Δ and θ_K, float64 ones with float32 data float64",
    "MS-DTYPE-1",
    numeric=False,
    dtypes=WIDE_ONLY,
)
def data_of_another_format(at: LawContext) -> Iterator[Claim]:
    B, xp = at.B, at.B.xp

    def mixing(params: Tree, batch: Tree) -> Array:
        """`Coupled` without the overlap, by functions: operators take no two formats on some frameworks."""
        fitted = xp.multiply(params["b"], xp.tanh(xp.multiply(params["a"], batch["x"])))
        misses = xp.subtract(fitted, batch["y"])
        return xp.sum(xp.multiply(misses, misses))

    def of(dtype: str, tree: Tree) -> Tree:
        return ms.asarray(tree, dtype=dtype, backend=B)

    for ours, theirs in (("float32", "float64"), ("float64", "float32")):
        params, task = of(ours, at.scenario.params), of(theirs, at.scenario.tasks[0])
        for name, algo in _algorithms(at.algorithm.inner).items():
            r = at.meta_gradient(algo, mixing, params, Task(task.support, None) if name == "Reptile" else task)
            formats = {*_formats(at, r.delta), *_formats(at, r.adapted)}
            yield Holds(f"{name}: {ours} with {theirs}", formats == {ours}, f"they are {sorted(formats)}")


@typed(
    "α, λ, γ, tol as Python's or NumPy's numbers, of whatever width, change no leaf's format and no bit",
    "MS-DTYPE-1",
    numeric=False,
)
def numbers_do_not_widen(at: LawContext) -> Iterator[Claim]:
    algo = IMAML(GradientDescent(0.03125, 2), regularization=16.0, solver=ConjugateGradient(2, damping=1.0))
    kinds: dict[str, tuple[Any, Any, Any]] = {
        "int": (0.03125, 16, 1),
        "float64": (np.float64(0.03125), np.float64(16), np.float64(1)),
        "float32": (np.float32(0.03125), np.float32(16), np.float32(1)),
    }
    wanted = at.meta_gradient(algo)
    for name, (lr, strength, damping) in kinds.items():
        other = IMAML(GradientDescent(lr, 2), strength, ConjugateGradient(2, damping=damping))
        r = at.meta_gradient(other)
        yield Same(name, (r.delta, r.adapted, r.query_loss), (wanted.delta, wanted.adapted, wanted.query_loss))
    rate = at.B.asarray(np.array(0.03125, "float32"), "float32")
    r = at.meta_gradient(at.inner(algo, lr=rate))
    yield Same("a rate of float32", (r.delta, r.adapted), (wanted.delta, wanted.adapted))
    with suppress(DtypeNotHonouredError), at.B.precision("float64"):
        r = at.meta_gradient(algo)
        formats = {*_formats(at, r.delta), *_formats(at, r.adapted), *_formats(at, r.query_loss)}
        yield Holds("where float64 is at hand", formats == {at.dtype}, f"they are {sorted(formats)}")


def every_format() -> Iterable[Scenario]:
    """`small` in every format that a backend may compute in."""
    return [replace(scenario, id="formats", dtypes=FORMATS) for scenario in small()]


@law(
    "l = ‖w‖²/2, α = 1/2, K = 1, φ = 2ⁿ(1 + 8ε): MAML φ/4, FO-MAML φ/2, Reptile φ/2, iMAML with λ = 1 φ/4, no rounding",
    "MS-BACKEND-5",
    "MS-DTYPE-1",
    on=every_format,
    applies=lambda scenario: scenario.id == "formats",
    numeric=False,
    dtypes=FORMATS,
)
def exact_in_every_format(at: LawContext) -> Iterator[Claim]:
    B, xp = at.B, at.B.xp
    powers = at.array({"a": np.array([1.0, -1.0, 1.0]), "b": np.array([-1.0, -1.0, 1.0])})
    digits = powers["a"][0] + 8 * float(xp.finfo(powers["a"].dtype).eps)
    phi = {name: leaf * digits for name, leaf in powers.items()}
    yield Holds("8 ε is there", bool(B.to_numpy(xp.all(phi["a"] != powers["a"]))), "1 + 8 ε = 1")

    def square(params: Tree, batch: Tree) -> Array:
        return (xp.sum(params["a"] * params["a"]) + xp.sum(params["b"] * params["b"])) / 2

    inner = GradientDescent(0.5, 1)
    implicit = IMAML(inner, regularization=1.0, solver=ConjugateGradient(1))
    expected = ((MAML(inner), 4), (FOMAML(inner), 2), (Reptile(inner), 2), (implicit, 4))
    for algo, share in expected:
        name = type(algo).__name__
        r = at.meta_gradient(algo, square, phi)
        yield Same(f"{name}: delta", r.delta, {key: leaf / share for key, leaf in phi.items()})
        yield Same(f"{name}: adapted", r.adapted, {key: leaf / 2 for key, leaf in phi.items()})
    table = xp.stack([phi["a"], powers["a"]])
    unit = at.array(np.array([0.0, 1.0, 0.0]))
    yield Same("a matrix product", xp.matmul(table, unit), xp.stack([phi["a"][1], powers["a"][1]]))
    yield Same("a product with the Hessian", B.hvp(square)(phi, phi, at.task.support), phi)


@typed(
    "integers and booleans in the batch are data: Δ is that of the same numbers, and nothing asks for their derivative",
    "MS-DTYPE-2",
)
def integer_data(at: LawContext) -> Iterator[Claim]:
    xp = at.B.xp
    counts, mask = np.array([3, 0, 2], "int32"), np.array([True, False, True])
    as_numbers = at.array({"n": counts.astype("float64"), "m": mask.astype("float64")})
    as_they_are = at.array({"n": counts, "m": mask})

    def weighted(params: Tree, batch: Tree) -> Array:
        n, m = (xp.astype(batch[name], params["a"].dtype) for name in ("n", "m"))
        kept = xp.where(batch["m"] if at.B.dtype_name(batch["m"]) == "bool" else m > 0, batch["x"], 0 * batch["x"])
        return at.loss(params, {"x": kept * n, "y": batch["y"] * m})

    def task(extra: Tree) -> Task:
        return Task(*({**batch, **extra} for batch in at.task))

    plain, typed_ = (at.meta_gradient(loss=weighted, task=task(extra)) for extra in (as_numbers, as_they_are))
    yield Equal("delta", typed_.delta, plain.delta)
    yield Equal("adapted", typed_.adapted, plain.adapted)


@typed("aux changes no bit of Δ, and is what the loss says of Q at θ_K", "MS-BACKEND-1", "MS-EDGE-6", dtypes=ONE_FORMAT)
def loss_with_aux(at: LawContext) -> Iterator[Claim]:
    xp = at.B.xp

    def said(params: Tree, batch: Tree) -> tuple[Array, Tree]:
        return at.loss(params, batch), {"fitted": [params["b"] * xp.tanh(params["a"] * batch["x"])], "none": None}

    for name, algo in _algorithms(at.algorithm.inner).items():
        task = _alone(at) if name == "Reptile" else at.task
        plain, r = at.meta_gradient(algo, task=task), at.meta_gradient(algo, said, task=task, has_aux=True)
        yield Same(f"{name}: delta", r.delta, plain.delta)
        judged = at.task.support if name == "Reptile" else at.task.query
        yield Equal(f"{name}: aux", r.aux, said(plain.adapted, judged)[1])
    batch = at.batch_meta_gradient(loss=said, tasks=[at.task, at.task], has_aux=True)
    once = said(at.meta_gradient().adapted, at.task.query)[1]["fitted"][0]
    yield Equal("aux of a batch", batch.aux["fitted"][0], xp.stack([once, once]))


@law(
    "asarray gives the dtype asked for or raises; to_numpy gives back every bit, of NaN, ∞, −0 and the smallest too",
    "MS-BACKEND-4",
    "MS-DTYPE-1",
    on=small,
    applies=alone,
    subject=PROTOCOL,
    numeric=False,
)
def formats_honoured(at: LawContext) -> Iterator[Claim]:
    B = at.B
    asked = ("float16", "bfloat16", "float32", "float64", "float128", "longdouble", "int8", "int32", "int64", "uint8")
    for dtype in (*asked, "bool", "cast", "DType", "no such dtype"):
        for given in (np.array([0.0, 1.0]), np.array([0, 1]), 1):
            try:
                name = B.dtype_name(B.asarray(given, dtype))
            except DtypeNotHonouredError:
                continue
            same = name == dtype or {name, dtype} <= {"longdouble", "float128"}
            yield Holds(f"{dtype} of {type(given).__name__}", same, f"it is {name}")
    tiny = np.finfo(at.dtype).smallest_subnormal
    values = np.array([np.nan, np.inf, -np.inf, -0.0, tiny, np.finfo(at.dtype).max, 1 / 3], at.dtype)
    yield Same("floats", np.asarray(B.to_numpy(B.asarray(values, at.dtype))), values)
    for plain in (np.array([[-3, 7]], "int32"), np.array([True, False]), values[::2], values.reshape(1, 7).T):
        yield Same(f"{plain.dtype.name}{plain.shape}", np.asarray(B.to_numpy(B.asarray(plain))), plain)
    kept = values.copy()
    copied = np.array(B.to_numpy(B.asarray(values * 1, at.dtype)))
    copied[...] = 0
    yield Same("what NumPy got may be written to", values, kept)
