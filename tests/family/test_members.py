"""Members of the family in combination, against JAX's backpropagation through the unrolled loop.

Each member alone is held by laws (`rule/`, `moving/`, `objective/`, `shrinkage/`) and by golden vectors.
"""

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


def objective(step_of, weights=None, moves=lambda name: True, from_zero=False):
    """(meta-parameters, learned) -> the query loss after K steps of the rule that `step_of(learned, start)` gives."""

    def value(params, learned):
        start = {**params, "context": 0 * params["context"]} if from_zero else params
        visited = plain.path(start, SUPPORT, step_of(learned, start), K, moves)
        if weights is None:
            return plain.loss(visited[-1], QUERY)
        return sum(w * plain.loss(theta, QUERY) for w, theta in zip(weights, visited[1:], strict=True))

    return value


def each_step(value):
    return jax.tree.map(lambda x: np.full(K, value), PARAMS)


L = ms.Learned
WEIGHTS = (0.1, 0.2, 0.3, 0.4)


def strengths(widths):
    """1 / sigma^2 of each leaf's group."""
    group = {name: widths["high" if name == "head" else "low"] ** -2.0 for name in PARAMS}
    return {name: jax.tree.map(lambda _, c=group[name]: c, part) for name, part in PARAMS.items()}


# name -> (algorithm, learned at the start, objective)
CASES = {
    "rates per leaf and step": (
        ms.MAMLPlusPlus(0.1, K, WEIGHTS),
        {"lr": each_step(0.1)},
        objective(lambda h, s: plain.descent(lambda k: jax.tree.map(lambda r: r[k], h["lr"])), weights=WEIGHTS),
    ),
    "Adam, learned per step, frozen leaves": (
        ms.MAML(ms.Adam(L(0.05, per="leaf", per_step=True), K, b1=L(0.8)), adapt="head/**"),
        {"lr": each_step(0.05), "b1": np.array(0.8)},
        objective(
            lambda h, s: plain.adam(lambda k: {"head": {n: r[k] for n, r in h["lr"]["head"].items()}}, h["b1"]),
            moves=lambda n: n == "head",
        ),
    ),
    "CAVIA": (
        ms.CAVIA(ms.GradientDescent(L(0.5), K), "context"),
        {"lr": np.array(0.5)},
        objective(lambda h, s: plain.descent(h["lr"]), moves=lambda n: n == "context", from_zero=True),
    ),
    "sigma-MAML": (
        ms.SigmaMAML(ms.GradientDescent(0.1, K), L(0.8, per={"low": "!head/**", "high": "head/**"})),
        {"sigma": {"low": np.array(0.8), "high": np.array(0.8)}},
        objective(lambda h, s: plain.pulled(plain.descent(0.1), strengths(h["sigma"]), s)),
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


def on_backend(backend):
    return lambda tree: ms.asarray(tree, dtype="float64", backend=backend)


def found(backend, algo, compiled=False, stacked=False):
    B = ms.get_backend(backend)
    with B.precision("float64"):
        on = on_backend(backend)
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
    got, delta, _, _ = found(backend, CASES[name][0], compiled=backend == "jax")  # each operation otherwise
    assert abs(got - value) < 1e-13 * max(1, abs(value))
    assert max(relative_errors(delta, truth).values()) < 1e-12


@pytest.mark.parametrize("name", CASES)
def test_batched_and_compiled_are_the_same(backend, name):
    value, truth = expected(name)
    got, delta, _, _ = found(backend, CASES[name][0], compiled=True, stacked=True)
    assert abs(got - value) < 1e-13 * max(1, abs(value))
    assert max(relative_errors(delta, truth).values()) < 1e-12


def test_an_update_that_is_detached_is_refused_and_arrays_that_do_not_fit_are_too():
    class Detached:
        init = staticmethod(lambda params: None)
        update = staticmethod(lambda g, s, params: (jax.tree.map(lambda x: -0.1 * jax.lax.stop_gradient(x), g), s))

    def run(algo, meta=None):
        task = ms.Task(jax.tree.map(jnp.asarray, SUPPORT), jax.tree.map(jnp.asarray, QUERY))
        params = jax.tree.map(jnp.asarray, PARAMS)
        ms.meta_gradient(algo, plain.loss, params if meta is None else ms.Meta(params, meta), task, backend="jax")

    with pytest.raises(ms.errors.InvalidArgumentError, match="no derivative in the gradient"):
        run(ms.MAML(ms.FromTransformation(Detached(), 1)))
    for wrong in ({"lr": jnp.ones(3)}, {"lr": {"body": jnp.ones(())}}):
        with pytest.raises(ms.errors.InvalidArgumentError, match=r"params.learned\['lr'\] must"):
            run(ms.MAML(ms.GradientDescent(ms.Learned(0.1), 1)), wrong)


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
    value, _, truth, _ = found("numpy", LONG_CASES[name])
    got, _, delta, _ = found(backend, LONG_CASES[name], compiled=True)
    assert abs(got - value) < 1e-13 * max(1, abs(value))
    assert max(relative_errors(delta, truth).values()) < 1e-12


def test_a_subclass_with_its_own_update_has_its_own_derivative():
    class Twice(ms.GradientDescent):
        def update(self, B, theta, state, gradient, k, hyper):
            return super().update(B, *super().update(B, theta, state, gradient, k, hyper), gradient, k, hyper)

    task = ms.Task(SUPPORT, QUERY)
    found, expected = (
        ms.meta_gradient(ms.MAML(rule), portable, PARAMS, task, backend="numpy").delta["body"]["w"]
        for rule in (Twice(0.05, K), ms.GradientDescent(0.1, K))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)
