"""Laws of the members that every adapter must write, each using only those before it: the order to write them in.

They ask for little, in numbers that are exact in every format. What a member must do inside of an algorithm is asked by
the scenarios and the other laws.
"""

import random
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from metaspec.algorithms import MAML
from metaspec.errors import DtypeNotHonouredError
from metaspec.inner.gradient_descent import GradientDescent
from metaspec_conformance.laws.framework.claims import Claim, Holds, Same, raises
from metaspec_conformance.laws.framework.law import PROTOCOL, law
from metaspec_conformance.laws.framework.law_context import LawContext
from metaspec_conformance.laws.framework.law_scenarios import nowhere
from metaspec_conformance.scenarios import datasets
from metaspec_conformance.scenarios.datasets import parameters, shaped
from metaspec_conformance.scenarios.scenario import Scenario

LEAVES = {"b": [shaped(2, 3), shaped()], "a": shaped(3)}
ORDER = (
    "member/precision",
    "member/versions",
    "member/asarray",
    "member/to_numpy",
    "member/is_concrete",
    "member/trees",
    "member/xp_names",
    "member/xp_asarray",
    "member/xp",
    "member/xp_standard",
    "member/precision_restores",
    "member/vjp",
    "member/value_and_grad",
    "member/stop_gradient",
    "member/stopped_outputs",
    "member/values_within",
    "member/xp_gradients",
    "member/xp_functions",
)
"""The laws of the members in the order in which an adapter is best written; each asks little beyond those before."""


class Pair(NamedTuple):
    """A node of a tree."""

    left: Any
    right: Any


def small() -> list[Scenario]:
    """The one scenario that these laws are certified on; its id adds nothing to theirs."""
    params, task = parameters(101, LEAVES), datasets.least_squares(102, LEAVES)
    algorithm = MAML(GradientDescent(0.5, 1))
    return [Scenario("", "least_squares", params, (task,), algorithm, "quadratic", ())]


member = partial(law, on=small, applies=nowhere, subject=PROTOCOL, naming="member/{}".format)
once = partial(member, dtypes=("float64",))  # an eager framework compiles each of many small operations


@member("versions() names the framework and its version", "MS-BACKEND-1", numeric=False)
def versions(at: LawContext) -> Iterator[Claim]:
    found = at.B.versions()
    plain = isinstance(found, Mapping) and all(isinstance(s, str) and s for item in found.items() for s in item)
    yield Holds("a mapping of names to versions, both strings", plain and len(found) > 0, f"it is {found!r}")
    name = getattr(at.B, "name", None)
    yield Holds("name is a string", isinstance(name, str) and bool(name), f"name is {name!r}")


@member("precision(p) is a context, which nests and may be entered again", "MS-BACKEND-5", numeric=False)
def precision(at: LawContext) -> Iterator[Claim]:
    entered = 0
    for dtype in ("float32", "float64", at.dtype):
        with at.B.precision(dtype), at.B.precision(at.dtype):
            entered += 1
    yield Holds("entered", entered == 3)


@member("outside of precision(p) all is as it was", "MS-BACKEND-5", "MS-PURE-1", numeric=False)
def precision_restores(at: LawContext) -> Iterator[Claim]:
    def settings() -> tuple[Any, ...]:
        return (
            dict(at.B.guard.settings()),
            np.geterr(),
            random.getstate(),
            at.B.dtype_name(at.B.asarray(1.0)),
            _product(at),
        )

    before = settings()
    for dtype in ("float32", "float64", at.dtype):
        with at.B.precision(dtype), at.B.precision(at.dtype):
            inside = at.B.dtype_name(at.B.asarray(0.5, at.dtype))
            yield Holds(f"within {dtype}, {at.dtype} is {at.dtype}", inside == at.dtype, f"it is {inside}")
        yield Holds(f"after {dtype}", settings() == before, "settings are not as they were")
        try:
            with at.B.precision(dtype):
                raise KeyError
        except KeyError:
            yield Holds(f"after an error within {dtype}", settings() == before, "settings are not as they were")


def _product(at: LawContext) -> bytes:
    """A matrix product whose bits tell whether it was computed in fewer digits."""
    x = at.B.asarray(np.linspace(0.1, 1.7, 64).reshape(8, 8), at.dtype)
    found: bytes = np.array(at.B.to_numpy(at.B.xp.matmul(x, x))).tobytes()
    return found


@member("asarray(x, dtype) has the values of x in that dtype", "MS-BACKEND-4", "MS-DTYPE-1", numeric=False)
def asarray(at: LawContext) -> Iterator[Claim]:
    B, values = at.B, np.array([[0.5, -0.0, 3.0], [-1.25, 1e-3, 7e5]], "float32")
    given = {
        "a float": (0.5, at.dtype, np.array(0.5, at.dtype)),
        "an int": (3, at.dtype, np.array(3.0, at.dtype)),
        "float32": (values, at.dtype, values.astype(at.dtype)),
        "float64": (values.astype("float64"), at.dtype, values.astype(at.dtype)),
        "a transpose": (values.T, at.dtype, values.T.astype(at.dtype)),
        "reversed": (values[::-1, ::-1], at.dtype, values[::-1, ::-1].astype(at.dtype)),
        "no entries": (values[:, :0], at.dtype, values[:, :0].astype(at.dtype)),
        "its own dtype": (values.astype(at.dtype), None, values.astype(at.dtype)),
        "integers": (np.array([1, -2], "int32"), None, np.array([1, -2], "int32")),
        "booleans": (np.array([True, False]), None, np.array([True, False])),
    }
    for what, (x, dtype, wanted) in given.items():
        array = B.asarray(x, dtype)
        yield Same(what, array, wanted)
        name = B.dtype_name(array)
        yield Holds(f"{what}: dtype_name", name == wanted.dtype.name, f"it is {name!r}, expected {wanted.dtype.name!r}")
        yield Holds(f"{what}: is_array", B.is_array(array) is True, "is_array(asarray(x)) is not True")
        yield Same(f"{what}: an array of the backend", B.asarray(array, dtype), wanted)
    uploaded = B.tuning.from_numpy_many([wanted for _, _, wanted in given.values()])
    for (what, (_, _, wanted)), array in zip(given.items(), uploaded, strict=True):
        yield Same(f"{what}: upload", array, wanted)
        same = B.is_array(array) is True and B.dtype_name(array) == wanted.dtype.name
        yield Holds(f"{what}: what upload gives", same, f"upload gives {array!r}")
    others = [0.5, 1, None, "x", [1.0], {"a": 1.0}]
    yield Holds("is_array of what is no array", not any(B.is_array(x) for x in others), "it is true of some of these")
    yield raises("no such dtype", DtypeNotHonouredError, lambda: B.asarray(1.0, "float99"))


@member("to_numpy(asarray(x)) = x to the last bit", "MS-BACKEND-4", numeric=False)
def to_numpy(at: LawContext) -> Iterator[Claim]:
    for x in (np.array([0.1, -0.0, 1e30]), np.array(2.5), np.zeros((0, 2)), np.arange(6.0).reshape(2, 3)):
        x = x.astype(at.dtype)
        back = at.B.to_numpy(at.B.asarray(x, at.dtype))
        kind = isinstance(back, np.ndarray | np.generic)
        yield Holds(f"NumPy's, shape {x.shape}", kind, f"to_numpy gives {type(back).__name__}")
        same = np.asarray(back).dtype == x.dtype and np.asarray(back).tobytes() == x.tobytes()
        yield Holds(f"shape {x.shape}", same and np.shape(back) == x.shape, f"of {x!r} it makes {back!r}")


@member("where is_concrete(x), x has values", "MS-EDGE-7", numeric=False)
def is_concrete(at: LawContext) -> Iterator[Claim]:
    found = at.B.is_concrete(at.array(np.array([1.5, 2.0])))
    yield Holds("an array has values", found is True, f"is_concrete(asarray(x)) is {found!r}")


@member("unflatten(flatten(t)) = t; keys sorted, None empty", "MS-TREE-1", numeric=False)
def trees(at: LawContext) -> Iterator[Claim]:
    B = at.B
    x = [at.array(np.array(float(i))) for i in range(5)]
    tree = {"z": [x[3], None], "a": (x[0], {"k": x[1]}), "m": Pair(x[2], ()), "zz": x[4]}
    leaves, structure = B.tree_flatten(tree)
    in_order = len(leaves) == 5 and all(a is b for a, b in zip(leaves, x, strict=True))
    yield Holds("leaves in the order of sorted keys", in_order)
    again = B.tree_unflatten(structure, leaves)
    yield Holds("the named tuple is one again", isinstance(again["m"], Pair), f"it is {type(again['m']).__name__}")
    yield Holds("None and () come back", again["z"][1] is None and again["m"].right == (), f"they are {again!r:.200}")
    yield Same("values", again, tree)
    other = B.tree_flatten({**tree, "zz": None})[1]
    same = B.tree_flatten({key: tree[key] for key in sorted(tree, reverse=True)})[1]
    yield Holds("structures compare", structure == same and structure != other)
    yield Holds("structures hash", hash(structure) == hash(same))
    paths = B.tree_paths(tree)
    yield Holds("a path for each leaf", len(set(paths)) == len(paths) == 5, f"the paths are {paths}")
