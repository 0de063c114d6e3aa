"""Batches under `compile`, and what a loss says beside its value."""

import numpy as np
import pytest

import metaspec as ms
from tests.core.problems import mlp, mlp_loss, on, to_numpy


def tasks(sizes):
    rng = np.random.default_rng(1)

    def part(n):
        x = rng.standard_normal((n, 2))
        return {"x": x, "y": np.sin(x[:, :1])}

    return [ms.Task(part(n), part(n + 1)) for n in sizes]


def stacked(sequence):
    return ms.Task(*({k: np.stack([task[i][k] for task in sequence]) for k in ("x", "y")} for i in (0, 1)))


def test_compiled_functions_follow_shapes_dtypes_and_constants(B):
    f = ms.compile(lambda p, t, power: B.xp.sum(p["b1"] ** power) + B.xp.sum(t.support["x"]))
    for dtype in ("float32", "float64"):
        for n in (2, 3):
            for power in (2, 3):
                with on(B, ({"b1": np.arange(1.0, 4.0)}, tasks([n])[0]), dtype) as (p, t):
                    expected = (np.arange(1.0, 4.0) ** power).sum() + to_numpy(B, t.support["x"]).sum()
                    value = f(p, t, power)
                    assert B.dtype_name(value) == dtype
                    assert float(B.to_numpy(value)) == pytest.approx(expected, rel=1e-5)


def test_compiled_functions_tell_equal_arguments_apart(B):
    f = ms.compile(lambda p: {"a": p["a"] * 0.5, "b": p["b"] * 0.25})
    with on(B, np.ones(3)) as one:
        p = {"a": one, "b": one}  # one array, given twice
        for _ in range(3):
            p = f(p)
        assert B.to_numpy(p["a"])[0] == 0.5**3
        assert B.to_numpy(p["b"])[0] == 0.25**3


def test_the_mean_of_aux_is_left_to_the_user(B):
    params, _ = mlp()

    def with_aux(p, batch):
        return mlp_loss(p, batch), {"first": batch["x"][0, 0], "count": batch["x"].shape[0]}

    with on(B, (params, stacked(tasks([5, 5])), tasks([3, 4]))) as (p, t, ragged):
        r = ms.batch_meta_gradient(ms.MAML(ms.GradientDescent(0.2, 2)), with_aux, p, t, has_aux=True)
        assert tuple(r.aux["first"].shape) == (2,)
        assert B.to_numpy(r.aux["count"]).tolist() == [6, 6]
        r = ms.batch_meta_gradient(ms.MAML(ms.GradientDescent(0.2, 2)), with_aux, p, ragged, has_aux=True)
        assert [int(B.to_numpy(aux["count"])) for aux in r.aux] == [4, 5]
        firsts = [float(B.to_numpy(task.query["x"][0, 0])) for task in ragged]
        assert [float(B.to_numpy(aux["first"])) for aux in r.aux] == firsts
