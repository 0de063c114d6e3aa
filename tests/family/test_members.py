"""Every member of the family on every backend, against JAX's backpropagation through the unrolled loop."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaspec as ms
from tests.conftest import COMPILED, INSTALLED, fewer_compiled
from tests.family import unrolled as plain

PARAMS, SUPPORT, QUERY = plain.problem(0)
K = 4


def portable(p, batch):
    xp = ms.array_namespace(p)
    hidden = xp.tanh(xp.matmul(batch["x"], p["body"]["w"]) + p["body"]["b"])
    shift = xp.matmul(xp.reshape(p["context"], (1, 2)), p["mix"])
    return xp.mean((xp.matmul(hidden, p["head"]["w"]) + p["head"]["b"] + shift - batch["y"]) ** 2)


def objective(step_of, weights=None, last=None, moves=lambda name: True, from_zero=False, batch=None):
    """(meta-parameters, learned) -> the query loss after K steps of the rule that `step_of(learned, start)` gives."""

    def value(params, learned):
        start = {**params, "context": 0 * params["context"]} if from_zero else params
        if last is not None:
            ahead = plain.path(start, SUPPORT, step_of(learned, start), K - last, moves, batch)[-1]
            start = jax.lax.stop_gradient(ahead)
        visited = plain.path(start, SUPPORT, step_of(learned, start), K, moves, batch)
        if weights is None:
            return plain.loss(visited[-1], QUERY)
        return sum(w * plain.loss(theta, QUERY) for w, theta in zip(weights, visited[1:], strict=True))

    return value


def tree(value):
    return jax.tree.map(lambda x: np.full(x.shape, value), PARAMS)


def leaves(value, lead=()):
    return jax.tree.map(lambda x: np.full(lead, value), PARAMS)


L = ms.Learned
HEAD = lambda name: name == "head"  # noqa: E731
SIGMA = {"low": 0.8, "high": 0.8}
WEIGHTS = (0.1, 0.2, 0.3, 0.4)


def grouped(learned, what=lambda s: s):
    return {n: jax.tree.map(lambda _: what(learned["high" if n == "head" else "low"]), t) for n, t in PARAMS.items()}  # noqa: B023


# name -> (algorithm, learned at the start, objective)
CASES = {
    "descent": (ms.MAML(ms.GradientDescent(0.1, K)), {}, objective(lambda h, s: plain.descent(0.1))),
    "schedule": (
        ms.MAML(ms.GradientDescent(lambda k: 0.1 / (k + 1), K)),
        {},
        objective(lambda h, s: plain.descent(lambda k: 0.1 / (k + 1))),
    ),
    "learned rate": (
        ms.MAML(ms.GradientDescent(L(0.1), K)),
        {"lr": np.array(0.1)},
        objective(lambda h, s: plain.descent(h["lr"])),
    ),
    "Meta-SGD": (ms.MetaSGD(0.1, K), {"lr": tree(0.1)}, objective(lambda h, s: plain.descent(h["lr"]))),
    "rates per leaf and step": (
        ms.MAMLPlusPlus(0.1, K, WEIGHTS),
        {"lr": leaves(0.1, (K,))},
        objective(lambda h, s: plain.descent(lambda k: jax.tree.map(lambda r: r[k], h["lr"])), weights=WEIGHTS),
    ),
    "positive rate": (
        ms.MAML(ms.GradientDescent(L(0.1, positive=True), K)),
        {"lr": np.array(np.log(np.expm1(0.1)))},
        objective(lambda h, s: plain.descent(jnp.log1p(jnp.exp(h["lr"])))),
    ),
    "momentum": (
        ms.MAML(ms.Momentum(0.1, K, L(0.8))),
        {"momentum": np.array(0.8)},
        objective(lambda h, s: plain.momentum(0.1, h["momentum"])),
    ),
    "Nesterov": (
        ms.MAML(ms.Momentum(0.1, K, 0.8, nesterov=True)),
        {},
        objective(lambda h, s: plain.momentum(0.1, 0.8, True)),
    ),
    "Adam, learned per step, frozen leaves": (
        ms.MAML(ms.Adam(L(0.05, per="leaf", per_step=True), K, b1=L(0.8)), adapt="head/**"),
        {"lr": leaves(0.05, (K,)), "b1": np.array(0.8)},
        objective(
            lambda h, s: (
                lambda x, st, g, k: plain.adam({"head": {n: r[k] for n, r in h["lr"]["head"].items()}}, h["b1"])(
                    x, st, g, k
                )
            ),
            moves=HEAD,
        ),
    ),
    "AMSGrad": (ms.MAML(ms.Adam(0.05, K, amsgrad=True)), {}, objective(lambda h, s: plain.adam(0.05, amsgrad=True))),
    "AdamW": (
        ms.MAML(ms.Adam(0.05, K, b2=0.9, decay=L(0.1))),
        {"decay": np.array(0.1)},
        objective(lambda h, s: plain.adam(0.05, b2=0.9, decay=h["decay"])),
    ),
    "RMSProp": (
        ms.MAML(ms.RMSProp(0.02, K, L(0.9))),
        {"rho": np.array(0.9)},
        objective(lambda h, s: plain.rmsprop(0.02, h["rho"])),
    ),
    "AdaGrad": (ms.MAML(ms.AdaGrad(0.05, K)), {}, objective(lambda h, s: plain.adagrad(0.05))),
    "Adadelta": (ms.MAML(ms.Adadelta(1.0, K)), {}, objective(lambda h, s: plain.adadelta(1.0))),
    "clipped by norm": (
        ms.MAML(ms.clip_by_norm(ms.Momentum(0.1, K), L(0.4))),
        {"max_norm": np.array(0.4)},
        objective(lambda h, s: plain.clipped(plain.momentum(0.1, 0.9), h["max_norm"])),
    ),
    "clipped by value": (
        ms.MAML(ms.clip_by_value(ms.GradientDescent(0.1, K), 0.1)),
        {},
        objective(lambda h, s: plain.clipped_entries(plain.descent(0.1), 0.1)),
    ),
    "weight decay": (
        ms.MAML(ms.decay_weights(ms.GradientDescent(0.1, K), L(0.05))),
        {"weight_decay": np.array(0.05)},
        objective(lambda h, s: plain.decayed(plain.descent(0.1), h["weight_decay"])),
    ),
    "ANIL": (ms.ANIL(ms.GradientDescent(0.1, K), "head/*"), {}, objective(lambda h, s: plain.descent(0.1), moves=HEAD)),
    "BOIL": (
        ms.BOIL(ms.GradientDescent(0.1, K), "head/**"),
        {},
        objective(lambda h, s: plain.descent(0.1), moves=lambda n: n != "head"),
    ),
    "CAVIA": (
        ms.CAVIA(ms.GradientDescent(L(0.5), K), "context"),
        {"lr": np.array(0.5)},
        objective(lambda h, s: plain.descent(h["lr"]), moves=lambda n: n == "context", from_zero=True),
    ),
    "multi-step loss": (
        ms.MAML(ms.Momentum(0.1, K), query_weights=WEIGHTS),
        {},
        objective(lambda h, s: plain.momentum(0.1, 0.9), weights=WEIGHTS),
    ),
    "minibatches": (
        ms.MAML(ms.GradientDescent(0.1, K), minibatches=ms.Minibatches(4)),
        {},
        objective(
            lambda h, s: plain.descent(0.1),
            batch=lambda k: {n: x[np.arange(4 * k, 4 * k + 4) % len(x)] for n, x in SUPPORT.items()},
        ),
    ),
    "sigma-MAML": (
        ms.SigmaMAML(ms.GradientDescent(0.1, K), L(0.8, per={"low": "!head/**", "high": "head/**"})),
        {"sigma": {n: np.array(v) for n, v in SIGMA.items()}},
        objective(lambda h, s: plain.pulled(plain.descent(0.1), grouped(h["sigma"], lambda x: x**-2.0), s)),
    ),
}


@cache
def expected(name):
    _, learned, value = CASES[name]
    with jax.enable_x64(True):
        arrays = jax.tree.map(jnp.asarray, (PARAMS, learned))
        (loss, grads) = jax.value_and_grad(value, argnums=(0, 1))(*arrays)
        return float(loss), jax.tree.map(np.asarray, grads)


def relative_errors(found, truth):
    """Norm-wise, leaf by leaf; absolute where the truth is zero."""
    errors = {}
    for path, a in jax.tree_util.tree_leaves_with_path(truth):
        errors[jax.tree_util.keystr(path)] = a
    got = {jax.tree_util.keystr(path): np.asarray(b) for path, b in jax.tree_util.tree_leaves_with_path(found)}
    assert errors.keys() == got.keys()
    return {path: float(np.linalg.norm(got[path] - a) / (np.linalg.norm(a) or 1.0)) for path, a in errors.items()}


def found(backend, algo, dtype, compiled=False, stacked=False):
    B = ms.get_backend(backend)
    with B.precision(dtype):
        on = lambda x: ms.asarray(x, dtype=dtype, backend=backend)  # noqa: E731
        task = ms.Task(on(SUPPORT), on(QUERY))
        meta = algo.init(on(PARAMS), backend=backend)

        def compute(meta, task):
            if stacked:
                return ms.batch_meta_gradient(algo, portable, meta, task, backend=backend)
            return ms.meta_gradient(algo, portable, meta, task, backend=backend)

        if stacked:
            task = B.tree_stack([task, task])
        r = (ms.compile(compute, backend=backend) if compiled else compute)(meta, task)
        delta = r.delta if isinstance(r.delta, ms.Meta) else ms.Meta(r.delta, {})
        numpy = lambda x: jax.tree.map(lambda leaf: leaf, _numpy(B, x))  # noqa: E731
        return float(B.to_numpy(r.query_loss)), (numpy(delta.params), numpy(delta.learned)), _numpy(B, r.delta), meta


def _numpy(B, tree_):
    leaves_, structure = B.tree_flatten(tree_)
    return B.tree_unflatten(structure, [B.to_numpy(leaf) for leaf in leaves_])


@pytest.mark.parametrize(("backend", "name"), fewer_compiled(CASES, [*CASES][::4]))
def test_delta_is_backpropagation_through_the_loop(backend, name):
    value, truth = expected(name)
    got, delta, _, _ = found(backend, CASES[name][0], "float64", compiled=backend == "jax")  # each operation otherwise
    assert abs(got - value) < 1e-13 * max(1, abs(value))
    assert max(relative_errors(delta, truth).values()) < 1e-12


@pytest.mark.parametrize(
    "name", ["Adam, learned per step, frozen leaves", "rates per leaf and step", "sigma-MAML", "CAVIA"]
)
def test_batched_and_compiled_are_the_same(backend, name):
    value, truth = expected(name)
    got, delta, _, _ = found(backend, CASES[name][0], "float64", compiled=True, stacked=True)
    assert abs(got - value) < 1e-13 * max(1, abs(value))
    assert max(relative_errors(delta, truth).values()) < 1e-12


LONG = 14  # steps, more than any backend writes out: loops with a traced step number
LONG_CASES = {
    "rates per leaf and step, weights": ms.MAMLPlusPlus(0.05, LONG, [1 / LONG] * LONG),
    "Adam, sqrt checkpoints": ms.MAML(ms.Adam(L(0.01, per="leaf", per_step=True), LONG, b1=L(0.8)), "sqrt", "head/*"),
    "schedule, recomputed": ms.MAML(ms.Momentum(lambda k: 0.05 / (k + 1), LONG), "recompute"),
    "minibatches": ms.Reptile(ms.Adam(0.01, LONG), minibatches=ms.Minibatches(4)),
}


@pytest.mark.parametrize("name", LONG_CASES)
@pytest.mark.parametrize("backend", [name for name in INSTALLED if name in COMPILED])
def test_a_compiled_loop_is_the_loop_written_out(backend, name):
    """Against NumPy's eager loop, which counts its steps with Python's numbers."""
    value, _, truth, _ = found("numpy", LONG_CASES[name], "float64")
    got, _, delta, _ = found(backend, LONG_CASES[name], "float64", compiled=True)
    assert abs(got - value) < 1e-13 * max(1, abs(value))
    assert max(relative_errors(delta, truth).values()) < 1e-12
