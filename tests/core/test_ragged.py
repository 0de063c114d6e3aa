"""Tasks of unequal sizes under `compile`: a size is compiled once, and the values are those of eager code."""

from dataclasses import dataclass

import numpy as np
import pytest

import metaspec as ms

ALGO = ms.MAML(ms.GradientDescent(0.05, 2))
SIZES = [(3, 2, 4), (4, 3, 2), (2, 2, 4), (4, 4, 3, 2)]


class Counting:
    """A loss that counts how often Python runs it: once or twice for each evaluation that is traced."""

    def __init__(self):
        self.calls = 0

    def __call__(self, params, batch):
        self.calls += 1
        xp = ms.array_namespace(params)
        return xp.mean((xp.tanh(xp.matmul(batch["x"], params["w"])) - batch["y"]) ** 2)


def part(rng, n):
    return {"x": rng.normal(size=(n, 2)), "y": rng.normal(size=n)}


def tasks_of(B, sizes, seed=0):
    rng = np.random.default_rng(seed)
    return ms.asarray([ms.Task(part(rng, n), part(rng, 3)) for n in sizes], backend=B)


@pytest.fixture
def params(B):
    return ms.asarray({"w": np.array([0.3, -0.2])}, backend=B)


@pytest.fixture(autouse=True)
def float64(B):
    with B.precision("float64"):
        yield


def same(B, found, expected):
    for a, b in zip(B.tree_flatten(found)[0], B.tree_flatten(expected)[0], strict=True):
        np.testing.assert_allclose(B.to_numpy(a), B.to_numpy(b), rtol=1e-12, atol=1e-14)


def test_a_size_is_traced_once_whatever_the_order_and_the_mix(B, params):
    loss = Counting()
    step = ms.compile(lambda p, t: ms.batch_meta_gradient(ALGO, loss, p, t))
    step(params, tasks_of(B, SIZES[0]))
    traced = loss.calls
    for seed, sizes in enumerate(SIZES):
        given = tasks_of(B, sizes, seed)
        before = loss.calls
        found = step(params, given)
        assert loss.calls == before, "it was traced anew"
        same(B, found, ms.batch_meta_gradient(ALGO, loss, params, given))
    before = loss.calls
    step(params, tasks_of(B, (3, 5)))
    assert before < loss.calls <= before + traced


def test_a_loss_that_reads_other_arguments_is_not_taken_from_an_earlier_call(B, params):
    @dataclass(frozen=True)
    class Scaled:
        scale: object

        def __call__(self, params, batch):
            return Counting()(params, batch) * self.scale

    scaled = ms.compile(lambda p, t, s: ms.batch_meta_gradient(ALGO, lambda q, b: Counting()(q, b) * s, p, t))
    for value in (1.0, 3.0, 0.5):
        s, given = B.asarray(value, dtype="float64"), tasks_of(B, SIZES[0])
        same(B, scaled(params, given, s), ms.batch_meta_gradient(ALGO, Scaled(s), params, given))


def test_rates_made_of_an_argument_are_not_taken_from_an_earlier_call(B, params):
    def step(p, t, rate):
        return ms.batch_meta_gradient(ms.MAML(ms.GradientDescent(rate, 1)), LOSS, p, t)

    compiled = ms.compile(step)
    for value in (0.1, 0.2):
        rate, given = B.asarray(value, dtype="float64"), tasks_of(B, SIZES[0])
        same(B, compiled(params, given, rate), step(params, given, rate))


def test_values_that_are_not_finite_do_not_raise_inside(B, params):
    step = ms.compile(lambda p, t: ms.batch_meta_gradient(ALGO, LOSS, p, t))
    bad = tasks_of(B, SIZES[0])
    bad[1] = ms.Task({**bad[1].support, "y": bad[1].support["y"] * np.nan}, bad[1].query)
    assert B.to_numpy(step(params, bad).diagnostics.finite).tolist() == [True, False, True]


LOSS = Counting()
