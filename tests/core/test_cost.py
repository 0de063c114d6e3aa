"""docs/performance.md says how many gradients and products each algorithm takes: counted here, exactly."""

from collections import Counter
from math import ceil, sqrt
from tracemalloc import get_traced_memory, reset_peak, start, stop

import numpy as np
import pytest

import metaspec as ms
from tests.core.problems import mlp, mlp_loss, on

SUPPORT, QUERY = 8, 6


class Counting(type(ms.get_backend("numpy"))):
    """The NumPy backend; gradients and linearisations are counted by the number of examples, products as such."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def value_and_grad(self, f, has_aux=False):
        plain = super().value_and_grad(f, has_aux)

        def counted(x, *args):
            self.counts[f"gradients on {args[-1]['x'].shape[0]}"] += 1
            return plain(x, *args)

        return counted

    def linearize_grad(self, f):
        def gradient(x, batch):
            value, pullback = self.vjp(lambda x: f(x, batch), x)
            return pullback(self.xp.ones_like(value))[0]

        def counted(x, batch):
            self.counts[f"linearisations on {batch['x'].shape[0]}"] += 1
            result, pullback = self.vjp(lambda x: gradient(x, batch), x)

            def product(v):
                self.counts["products"] += 1
                return pullback(v)[0]

            return result, product

        return counted


def counted(algo):
    B = Counting()
    params, task = mlp()
    ms.meta_gradient(algo, mlp_loss, params, task, backend=B)
    return {name: n for name, n in B.counts.items() if n}


@pytest.mark.parametrize("K", [1, 2, 5, 16, 17])
def test_gradients_and_products(K):
    inner = ms.GradientDescent(0.05, K)
    n = ceil(sqrt(K))
    again = (K - 1) // n
    last = K - again * n
    gradients = {"none": 0, "recompute": K - 1, "sqrt": again * n + again * (n - 1) + last - 1}
    assert gradients["sqrt"] < 2 * K
    on_query = {f"gradients on {QUERY}": 1}
    for checkpoint, more in gradients.items():
        expected = on_query | {f"linearisations on {SUPPORT}": K, "products": K}
        expected |= {f"gradients on {SUPPORT}": more} if more else {}
        assert counted(ms.MAML(inner, checkpoint)) == expected
    assert counted(ms.FOMAML(inner)) == on_query | {f"gradients on {SUPPORT}": K}
    assert counted(ms.Reptile(inner)) == {f"gradients on {SUPPORT + QUERY}": K}
    implicit = on_query | {f"gradients on {SUPPORT}": K, f"linearisations on {SUPPORT}": 1}
    assert counted(ms.IMAML(inner, 2.0, ms.ConjugateGradient(3))) == implicit | {"products": 3}
    start = {name: np.ones_like(leaf) for name, leaf in mlp()[0].items()}
    assert counted(ms.IMAML(inner, 2.0, ms.ConjugateGradient(3), start)) == implicit | {"products": 4}


def _peak(algo, tasks):
    params, _ = mlp()

    def compute(params, tasks):
        return ms.batch_meta_gradient(algo, mlp_loss, params, tasks).delta

    compiled = ms.compile(compute)
    peaks = []
    for f in (compute, compiled):
        f(params, tasks)
        start()
        reset_peak()
        before = get_traced_memory()[0]
        f(params, tasks)
        peaks.append(get_traced_memory()[1] - before)
        stop()
    return np.asarray(peaks)


def test_memory_of_numpy_against_steps():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 2000, 2))
    batch = {"x": x, "y": np.sin(x[..., :1])}
    tasks = ms.Task(batch, batch)
    peaks = {
        (name, K): _peak(make(ms.GradientDescent(0.05, K)), tasks)
        for K in (4, 16)
        for name, make in {
            "none": ms.MAML,
            "recompute": lambda inner: ms.MAML(inner, "recompute"),
            "sqrt": lambda inner: ms.MAML(inner, "sqrt"),
            "imaml": lambda inner: ms.IMAML(inner, 2.0, ms.ConjugateGradient(2)),
        }.items()
    }
    activations = 2 * 2000 * 6 * 8  # one layer's; here a point is next to nothing
    assert (peaks["none", 16] - peaks["none", 4] > 12 * activations).all()
    for name in ("recompute", "sqrt", "imaml"):  # flat, but for what is not arrays
        assert (peaks[name, 16] - peaks[name, 4] < activations).all(), name


def test_memory_of_implicit_gradients_under_xla_is_flat():
    jax = pytest.importorskip("jax")
    temporary = []
    with on(ms.get_backend("jax"), mlp(), "float32") as (p, t):
        for K in (12, 48):
            algo = ms.IMAML(ms.GradientDescent(0.05, K), 2.0, ms.ConjugateGradient(2))
            f = jax.jit(lambda p, t, algo=algo: ms.meta_gradient(algo, mlp_loss, p, t).delta)
            temporary.append(f.lower(p, t).compile().memory_analysis().temp_size_in_bytes)
    assert temporary[1] <= 1.05 * temporary[0]
