"""The inner rule's state carried from task to task: what it computes, what training does with it, what is refused."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metaspec as ms
from metaspec import data, nn
from metaspec.training import SGD, Adam, Checkpoints, Evaluation, load_checkpoint
from tests.family import unrolled as plain
from tests.family.test_members import L, on_backend, portable, relative_errors

PARAMS, SUPPORT, QUERY = plain.problem(0)
K, SEEN = 3, 5
ALGO = ms.MAML(ms.Adam(0.05, K, b1=L(0.8), b2=0.9, eps=1e-3), adapt="head/**")
NET = nn.MLP((1, 8, 1), activation=nn.tanh)
RULE = ms.Adam(0.01, 2, b1=0.0)


def given():
    """A state such as an earlier task leaves: first moments of either sign, squares that are positive."""
    rng = np.random.default_rng(1)
    m = jax.tree.map(lambda x: 0.1 * rng.normal(size=x.shape), PARAMS["head"])
    return m, jax.tree.map(lambda x: rng.uniform(0.01, 0.1, size=x.shape), PARAMS["head"])


def expected():
    """The gradient in the parameters and in b1, and the state after K steps, by backpropagation through the loop."""
    m, v = given()
    last = []

    def value(params, b1):
        adam = plain.adam(lambda k: 0.05, b1, 0.9, 1e-3)

        def step(x, s, g, k):
            x, s = adam(x, ({"head": m}, {"head": v}) if s is None else s, g, SEEN + k)
            last[:] = [s]
            return x, s

        return plain.loss(plain.path(params, SUPPORT, step, K, lambda name: name == "head")[-1], QUERY)

    with jax.enable_x64(True):
        delta = jax.grad(value, argnums=(0, 1))(jax.tree.map(jnp.asarray, PARAMS), jnp.asarray(0.8))
        value(jax.tree.map(jnp.asarray, PARAMS), 0.8)
        return jax.tree.map(np.asarray, (delta, [s["head"] for s in last[0]]))


@pytest.mark.parametrize("form", ["one", "compiled batch"])
def test_what_is_computed_is_backpropagation_from_the_given_state(backend, form):
    (in_params, in_b1), (m, v) = expected()
    B = ms.get_backend(backend)
    with B.precision("float64"):
        on = on_backend(backend)
        meta, task = ALGO.init(on(PARAMS), backend=backend), ms.Task(on(SUPPORT), on(QUERY))
        state = ms.initial_state(ALGO, meta, backend=backend)
        rows = [on([tree["b"], tree["w"]]) for tree in given()]
        state = ms.RuleState(tuple(rows), state.steps + SEEN)
        if form == "one":
            r = ms.meta_gradient(ALGO, portable, meta, task, state=state, backend=backend)
        else:
            f = ms.compile(lambda *a: ms.batch_meta_gradient(ALGO, portable, *a[:2], state=a[2], backend=backend))
            r = f(meta, B.tree_stack([task, task]), state)
        _, after = ms.adapt(ALGO, portable, meta, task.support, state=state, backend=backend)
        numpy = lambda tree: jax.tree.map(np.asarray, B.tree_flatten(tree)[0])  # noqa: E731
        assert max(relative_errors(numpy(r.delta.params), jax.tree.leaves(in_params)).values()) < 1e-12
        assert relative_errors(numpy(r.delta.learned), [in_b1])["[0]"] < 1e-12
        truth = [m["b"], m["w"], v["b"], v["w"]]
        for found in (r.state, after):
            assert max(relative_errors(numpy(found.state), truth).values()) < 1e-13
            assert int(found.steps) == SEEN + K


def test_a_step_for_each_task_is_published_reptile():
    """One state of Adam over all tasks, as OpenAI's supervised-reptile keeps it; evaluations start from it."""
    source = data.Sinusoid()
    phi = {name: leaf.astype("float64") for name, leaf in NET.init(seed=0).items()}
    run = ms.meta_train(
        ms.Reptile(RULE), NET.loss, phi, source, steps=3, tasks_per_step=1, optimizer=SGD(0.5), carry_state=True,
        backend="numpy",
    )  # fmt: skip
    square, count = dict.fromkeys(phi, 0.0), 0
    for step in range(3):
        task = jax.tree.map(lambda x: x[0].astype("float64"), source.batch(step, 1))
        both = jax.tree.map(lambda a, b: np.concatenate([a, b]), task.support, task.query)
        theta = dict(phi)
        for _ in range(2):
            count += 1
            gradient = ms.get_backend("numpy").grad(NET.loss)(theta, both)
            for name, g in gradient.items():
                square[name] = 0.999 * square[name] + 0.001 * g**2
                theta[name] = theta[name] - 0.01 * g / (np.sqrt(square[name] / (1 - 0.999**count)) + 1e-8)
        phi = {name: phi[name] - 0.5 * (phi[name] - theta[name]) for name in phi}
    for name in phi:
        np.testing.assert_allclose(run.params[name], phi[name], rtol=1e-10)
        np.testing.assert_allclose(run.inner_state.state[1][name], square[name], rtol=1e-10)
    assert int(run.inner_state.steps) == count


def train(steps, folder=None, carry=True, **options):
    return ms.meta_train(
        ms.Reptile(RULE), NET.loss, NET.init(seed=0), data.Sinusoid(), steps=steps, tasks_per_step=2, backend="numpy",
        checkpoints=folder and Checkpoints(folder, every=1), carry_state=carry, **options,
    )  # fmt: skip


def test_a_training_resumes_with_the_carried_state(tmp_path):
    whole, half = train(4), train(2, tmp_path)
    leaves = ms.get_backend("numpy").tree_flatten
    for run in (train(4, tmp_path), train(4, resume=half)):
        pairs = zip(leaves((run.params, run.inner_state))[0], leaves((whole.params, whole.inner_state))[0], strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    template = ms.initial_state(ms.Reptile(RULE), whole.params)
    loaded = load_checkpoint(tmp_path, whole.params, Adam(), inner_state=template)
    assert int(loaded.inner_state.steps) == int(whole.inner_state.steps) == 8
    with pytest.raises(ms.errors.InvalidArgumentError, match="another set-up: carry_state"):
        train(4, tmp_path, carry=False)


def test_evaluations_start_from_the_carried_state():
    held_out = data.Sinusoid(stream="validation")
    run = train(2, evaluation=Evaluation(held_out, every=2, tasks=4, tasks_per_batch=4))
    given = {"tasks": 4, "tasks_per_batch": 4, "backend": "numpy"}
    report = ms.meta_test(ms.Reptile(RULE), NET.loss, run.params, held_out, state=run.inner_state, **given)
    afresh = ms.meta_test(ms.Reptile(RULE), NET.loss, run.params, held_out, **given)
    assert run.evaluations[0].report == report
    assert report.loss_after != afresh.loss_after


def test_states_that_do_not_fit_are_refused():
    params, batch = {"w": np.ones(2)}, np.ones(2)
    algo = ms.MAML(ms.Momentum(0.1, 2))
    state = ms.initial_state(algo, params)

    def adapt(algo, state, params=params):
        return ms.adapt(algo, lambda p, b: ((p["w"] - b) ** 2).sum(), params, batch, state=state)

    with pytest.raises(ms.errors.InvalidTypeError, match=r"expected a ms.RuleState.*got dict"):
        adapt(algo, state.state)
    with pytest.raises(ms.errors.InvalidArgumentError, match=r"state: that of Adam on these parameters.*initial_state"):
        adapt(ms.MAML(ms.clip_by_norm(ms.Adam(0.1, 2), 1.0)), state)
    with pytest.raises(ms.errors.InvalidArgumentError, match=r"\['w'\] has shape \(2,\), expected \(3, 2\)"):
        adapt(algo, state, {"w": np.ones((3, 2))})
    foreign = state._replace(state={"w": jnp.ones(2)})
    with pytest.raises(ms.errors.BackendMismatchError, match="state"):
        adapt(algo, foreign)

    class Own:
        inner = algo.inner
        adapt_to = inner_batch = meta_gradient = staticmethod(lambda *a: None)

    with pytest.raises(ms.errors.InvalidTypeError, match="Own has no inner_loop"):
        adapt(Own(), state)


def test_a_rule_around_a_proximal_one_knows_its_start():
    task = ms.Task(np.ones(2), np.zeros(2))
    proximal = ms.MAML(ms.Proximal(ms.GradientDescent(0.1, 3), 2.0))
    clipped = replace(proximal, inner=ms.clip_by_norm(proximal.inner, 100.0))
    both = [ms.meta_gradient(a, lambda p, b: ((p - b) ** 2).sum(), np.full(2, 3.0), task) for a in (proximal, clipped)]
    np.testing.assert_allclose(both[1].delta, both[0].delta, rtol=1e-14)
