"""What the protocol derives and falls back to, on an adapter with the required members alone (MS-BACKEND-3, 6)."""

from contextlib import nullcontext
from typing import Any

import array_api_strict
import numpy as np
import pytest

import metaspec as ms
from metaspec.backend.guard import Guard
from metaspec.backend.protocol import Backend, is_floating
from metaspec.backend.tuning import LoopKind, Tuning
from metaspec_numpy.adapter import NumpyBackend
from tests.core.problems import mlp, mlp_loss

NUMPY = ms.get_backend("numpy")
RNG = np.random.default_rng(0)
X = {"a": RNG.normal(size=3), "b": (RNG.normal(size=(2, 2)), np.float64(0.3)[()])}
X = NUMPY.tree_unflatten(NUMPY.tree_flatten(X)[1], [np.asarray(leaf) for leaf in NUMPY.tree_flatten(X)[0]])
V = NUMPY.tree_unflatten(NUMPY.tree_flatten(X)[1], [RNG.normal(size=leaf.shape) for leaf in NUMPY.tree_flatten(X)[0]])


class Bare(NumpyBackend):
    """NumPy with every derived and optional member taken from the base class."""

    jvp, vmap, compile, is_array = Backend.jvp, Backend.vmap, Backend.compile, Backend.is_array
    scan, checkpoint, hvp, linearize_grad = Backend.scan, Backend.checkpoint, Backend.hvp, Backend.linearize_grad
    tuning_type, guard_type = Tuning, Guard

    def __init__(self) -> None:
        super().__init__()
        self.entered: list[str] = []

    @property
    def capabilities(self) -> Any:
        return {**super().capabilities, "jvp": ms.Capability("derived")}

    def precision(self, dtype: str) -> Any:
        self.entered.append(dtype)
        return nullcontext()


BARE = Bare()


def f(x: Any, c: float = 2.0) -> Any:
    xp = ms.array_namespace(x)
    return c * xp.sum(xp.tanh(x["a"])) * xp.sum(x["b"][0] ** 3) + xp.exp(x["b"][1])


def same(x: Any, y: Any, tolerance: float = 1e-14) -> None:
    (xs, structure), (ys, expected) = NUMPY.tree_flatten(x), NUMPY.tree_flatten(y)
    assert structure == expected
    for a, b in zip(xs, ys, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_push_forward_is_the_native_one() -> None:
    def g(x: Any, y: Any) -> Any:
        return {"product": f(x) * y, "twice": 2.0 * y}

    y, t = np.asarray([1.0, -2.0]), np.asarray([0.5, 3.0])
    for ours, native in zip(BARE.jvp(g, (X, y), (V, t)), NUMPY.jvp(g, (X, y), (V, t)), strict=True):
        same(ours, native)


def test_products_are_the_native_ones() -> None:
    same(BARE.grad(f)(X), NUMPY.grad(f)(X))
    same(BARE.hvp(f)(X, V), NUMPY.hvp(f)(X, V))
    same(BARE.hvp(f)(X, V, -3.0), NUMPY.hvp(f)(X, V, -3.0))
    for B in (BARE, NUMPY):
        gradient, product = B.linearize_grad(f)(X, 0.5)
        same(gradient, NUMPY.grad(f)(X, 0.5))
        same(product(V), NUMPY.hvp(f)(X, V, 0.5))
        same(product(X), NUMPY.hvp(f)(X, X, 0.5))


def test_products_of_a_linear_function_are_exactly_zero() -> None:
    for leaf in NUMPY.tree_flatten(BARE.hvp(lambda x: x["a"].sum() - 2.0 * x["b"][1])(X, V))[0]:
        assert not leaf.any()


def test_map_over_tasks_is_a_loop() -> None:
    def g(x: Any, y: Any) -> Any:
        return {"sum": x["p"].sum() + y, "pair": (x["p"] * y, x["q"])}

    x, y = {"p": RNG.normal(size=(4, 3)), "q": np.arange(4)}, RNG.normal(size=4)
    same(BARE.vmap(g)(x, y), NUMPY.vmap(g)(x, y))


def test_loop_with_a_carry() -> None:
    xs = {"p": RNG.normal(size=(3, 2)), "q": np.arange(3.0)}
    carry, ys = BARE.scan(lambda c, x: (c + x["p"] * x["q"], {"c": c}), np.zeros(2), xs)
    path = np.cumsum(xs["p"] * xs["q"][:, None], axis=0)
    same(carry, path[-1])
    same(ys, {"c": np.concatenate([np.zeros((1, 2)), path[:-1]])})
    assert BARE.scan(lambda c, x: (c + 1, None), 0, length=5) == (5, None)
    assert BARE.scan(lambda c, x: (c + 1, x), 0) == (0, None)


def test_loop_from_the_last_to_the_first() -> None:
    xs = {"p": np.arange(4.0), "q": np.ones((4, 2))}
    step = lambda c, x: (2.0 * c + x["p"], {"before": c, "row": x["q"] * x["p"]})  # noqa: E731
    carry, ys = BARE.scan(step, np.asarray(1.0), xs, reverse=True)
    path = [1.0]
    for p in (3.0, 2.0, 1.0, 0.0):
        path.append(2.0 * path[-1] + p)
    same(carry, np.asarray(path[-1]))
    same(ys, {"before": np.asarray(path[3::-1]), "row": np.arange(4.0)[:, None] * np.ones((4, 2))})


def test_loop_counts_what_it_is_given_not_its_length() -> None:
    assert BARE.scan(lambda c, x: (c + 1, None), 0, np.zeros(3), length=7)[0] == 3


def test_what_makes_nothing_faster_changes_nothing() -> None:
    assert BARE.checkpoint(f) is f
    assert BARE.compile(f) is f
    assert BARE.guard.detach(X) is X
    assert BARE.guard.version_counter(X) is None


def test_only_wide_formats_ask_for_precision() -> None:
    backend = Bare()
    with backend.guard.compute_context(None):
        assert backend.entered == []
    with backend.guard.compute_context("float64"):
        assert backend.entered == ["float64"]


def test_viewed_containers_are_copies() -> None:
    viewed = BARE.guard.read_only_view(X)
    assert viewed is not X
    assert viewed["b"] is not X["b"]
    same(viewed, X, 0)


class Counting(Guard):
    """Counts versions by looking at the values."""

    def version_counter(self, tree: Any) -> Any:
        return [leaf.tobytes() for leaf in self.backend.tree_flatten(tree)[0]]


class Marked(Bare):
    """An adapter whose arrays can be written to, and which therefore looks at them before and after."""

    guard_type = Counting

    def is_array(self, x: Any) -> bool:
        return NumpyBackend.is_array(self, x)


@pytest.mark.parametrize("changed", ["params", "batch"])
def test_changes_in_place_are_seen_by_their_mark(changed: str) -> None:
    def loss(params: Any, batch: Any) -> Any:
        {"params": params, "batch": batch}[changed]["w"][0] += 1.0
        return params["w"].sum() * batch["w"].sum()

    tree = {"w": np.ones(2)}
    algo = ms.Reptile(ms.GradientDescent(0.1, 0))
    with pytest.raises(ms.errors.MutationError, match="its parameters or its batch in place"):
        ms.meta_gradient(algo, loss, {"w": np.ones(2)}, ms.Task({"w": np.ones(2)}, None), backend=Marked())
    ms.meta_gradient(algo, lambda p, b: p["w"].sum() * b["w"].sum(), tree, ms.Task(tree, None), backend=Marked())


class Unregistered(NumpyBackend):
    """A backend that nobody registered: what it says of itself is what its class shows."""

    name = "nobody's"
    scan, jvp = Backend.scan, Backend.jvp


def test_capabilities_of_a_class_that_is_not_registered() -> None:
    levels = {member: capability.level for member, capability in Unregistered().capabilities.items()}
    assert set(levels) == set(NUMPY.capabilities)
    native = {member for member, level in levels.items() if level == "native"}
    assert native == {m for m in levels if getattr(Unregistered, m) is not getattr(Backend, m)}
    assert {"vmap", "compile"} <= native
    assert levels["jvp"] == levels["scan"] == "derived"


def test_an_unsupported_member_says_why() -> None:
    class Without(Bare):
        @property
        def capabilities(self) -> Any:
            return {"scan": ms.Capability("unsupported", "its loops have no derivative")}

    error = Without().unsupported("scan")
    assert isinstance(error, ms.errors.UnsupportedError)
    assert str(error) == "backend 'numpy' has no scan: its loops have no derivative"


class OneCopy(Tuning):
    """A compiler that wants loops in place of more than one copy of a step."""

    def unroll_limit(self, loop: LoopKind = "path") -> int:
        return 1


class Looping(Bare):
    """An adapter of such a compiler."""

    tuning_type = OneCopy

    def is_array(self, x: Any) -> bool:
        return NumpyBackend.is_array(self, x)


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_loops_walk_the_same_path(steps: int) -> None:
    params, task = mlp()
    inner = ms.GradientDescent(0.1, steps)
    solver = ms.ConjugateGradient(4)
    for algo in (ms.MAML(inner), ms.FOMAML(inner), ms.Reptile(inner), ms.IMAML(inner, 2.0, solver)):
        written_out = ms.meta_gradient(algo, mlp_loss, params, task)
        looped = ms.meta_gradient(algo, mlp_loss, params, task, backend=Looping())
        same(looped.delta, written_out.delta)
        same(looped.adapted, written_out.adapted)


def test_names_of_leaves_and_of_dtypes() -> None:
    assert BARE.tree_paths({"b": [1, 2], "a": (3, None)}) == ["['a'][0]", "['b'][0]", "['b'][1]"]
    assert BARE.tree_paths(np.zeros(2)) == ["root"]
    assert BARE.dtype_name(np.zeros(2, dtype=np.float32)) == "float32"
    assert BARE.dtype_name(array_api_strict.zeros(2)) == "float64"
    assert [is_floating(name) for name in ("float32", "bfloat16", "longdouble", "int32", "bool")] == [True] * 3 + [
        False
    ] * 2


def test_stacks_of_trees() -> None:
    assert BARE.tree_stack([]) is None
    same(BARE.tree_stack([X, V])["b"][0], np.stack([X["b"][0], V["b"][0]]), 0)


def test_owner_decides_what_an_array_is() -> None:
    assert BARE.is_array(np.zeros(2))
    assert not BARE.is_array([0.0])
    assert not BARE.is_array(0.0)


def test_capability_that_is_not_there_says_why() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        ms.Capability("unsupported")
    assert ms.Capability("unsupported", "the framework has none").reason
    assert ms.Capability("derived").reason == ""
