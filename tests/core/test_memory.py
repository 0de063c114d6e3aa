"""What is kept of a path and what is computed again: exact counts, and what compilers leave of it."""

import weakref
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest

import metaspec as ms
from metaspec.algorithms.adjoint import Step, checkpointed_vjp
from tests.core.problems import mlp, mlp_loss, on


@dataclass
class CountedStep:
    """x -> x / 2 + 1 with every call counted, and the most points and linearisations that were alive at a time."""

    calls: Counter = field(default_factory=Counter)
    alive: Counter = field(default_factory=Counter)
    most: Counter = field(default_factory=Counter)

    def _new(self, kind, value):
        self.calls[kind] += 1
        self.alive[kind] += 1
        self.most[kind] = max(self.most[kind], self.alive[kind])
        weakref.finalize(value, lambda: self.alive.subtract([kind]))
        return value

    def step(self):
        def linearize(x):
            def half(v):
                return v / 2

            return x / 2 + 1, self._new("linearize", half)

        return Step(
            advance=lambda x: self._new("advance", np.asarray(x / 2 + 1)),
            linearize=linearize,
            pull_back=lambda v, product: product(v),
        )


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 16, 64, 65])
@pytest.mark.parametrize("checkpoint", ["none", "recompute", "sqrt"])
def test_every_mode_computes_and_keeps_what_the_cost_model_says(checkpoint, steps):
    walk, B = CountedStep(), ms.get_backend("numpy")
    v, reached = checkpointed_vjp(
        B, walk.step(), np.asarray(8.0), steps, lambda x: (np.asarray(3.0), float(x)), checkpoint
    )
    assert reached == 2 + 6 / 2**steps
    assert float(v) == 3 / 2**steps
    root = {0: 1, 1: 1, 2: 2, 5: 3, 16: 4, 64: 8, 65: 9}[steps]
    segments = {"none": 0, "recompute": max(0, steps - 1), "sqrt": max(0, steps - 1) // root}[checkpoint]
    last = steps - segments * root
    advanced = {"none": 0, "recompute": segments}.get(
        checkpoint, segments * root + segments * (root - 1) + max(0, last - 1)
    )
    assert walk.calls == Counter({"linearize": steps, "advance": advanced}) + Counter()
    assert walk.most["linearize"] <= (steps if checkpoint == "none" else 1)
    points = {"none": 0, "recompute": segments, "sqrt": segments + root}[checkpoint]
    assert walk.most["advance"] <= points + 2  # those that are kept, and one step's two ends


def test_recording_does_not_undo_recomputation():
    from metaspec_numpy import tracer

    params, task = mlp()
    counts = {}
    for checkpoint in ("none", "recompute"):
        algo = ms.MAML(ms.GradientDescent(0.1, 5), checkpoint)
        program = tracer.record(
            lambda *leaves, algo=algo: ms.meta_gradient(
                algo, mlp_loss, dict(zip(params, leaves, strict=True)), task
            ).delta["w1"],
            tuple(params.values()),
        )
        counts[checkpoint] = sum(step.primitive.name == "tanh" for step in program.instructions)
    assert counts == {"none": 5 + 1, "recompute": (5 + 4) + 1}  # one for each gradient, and the query set's


def test_xla_does_not_undo_recomputation():
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng(0)
    params = {"w1": rng.normal(size=(2, 6)), "b1": np.zeros(6), "w2": rng.normal(size=(6, 1))}
    x = rng.normal(size=(512, 2))
    batch = {"x": x, "y": np.sin(x[:, :1])}
    temporary = {}
    with on(ms.get_backend("jax"), (params, ms.Task(batch, batch)), "float32") as (p, t):
        for checkpoint in ("none", "recompute", "sqrt"):
            algo = ms.MAML(ms.GradientDescent(0.1, 64), checkpoint)
            f = jax.jit(lambda p, t, algo=algo: ms.meta_gradient(algo, mlp_loss, p, t).delta)
            temporary[checkpoint] = f.lower(p, t).compile().memory_analysis().temp_size_in_bytes
    # Here a point (30 numbers) is next to nothing, and a linearisation at least one array of 512 x 6.
    assert temporary["none"] > 64 * 512 * 6 * 4
    assert temporary["recompute"] < temporary["none"] / 16
    assert temporary["sqrt"] < temporary["none"] / 8


def test_checkpoint_is_checked():
    with pytest.raises(ms.errors.InvalidArgumentError, match=r"MAML: checkpoint must be one of 'none', 'recompute'"):
        ms.MAML(ms.GradientDescent(0.1, 1), "all")
