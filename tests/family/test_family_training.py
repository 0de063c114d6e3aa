"""Members of the family in training: what is learned is trained, saved, resumed and evaluated with the parameters."""

import numpy as np
import pytest

import metaspec as ms
from metaspec import data, nn
from metaspec.training import Adam, Checkpoints, load_checkpoint
from tests.examples.test_examples import load

NET = nn.MLP((1, 8, 8, 1), activation=nn.tanh)
INNER = ms.GradientDescent(0.01, 2)
ALGORITHMS = {
    "Meta-SGD": ms.MetaSGD(0.01, 2),
    "MAML++": ms.MAMLPlusPlus(0.01, 3, ms.multi_step_weights(0, 3)),
    "ANIL": ms.ANIL(INNER, ["w2", "b2"]),
    "sigma-iMAML": ms.SigmaIMAML(INNER),
    "sigma-Reptile": ms.SigmaReptile(INNER),
    "Adam": ms.MAML(ms.Adam(0.01, 3)),
}


def train(algo, steps, folder=None, resume=None):
    start = algo.init(NET.init(seed=0), backend="numpy")
    checkpoints = None if folder is None else Checkpoints(folder, every=2)
    return ms.meta_train(
        algo, NET.loss, start, data.Sinusoid(), steps=steps, tasks_per_step=3, backend="numpy",
        checkpoints=checkpoints, resume=resume,
    )  # fmt: skip


def leaves(tree):
    return ms.get_backend("numpy").tree_flatten(tree)[0]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_resumed_is_the_same_to_the_bit_and_what_is_learned_moves(name, tmp_path):
    algo = ALGORITHMS[name]
    start = algo.init(NET.init(seed=0), backend="numpy")
    through = train(algo, 4)
    train(algo, 2, tmp_path / "checkpoints")
    saved = load_checkpoint(tmp_path / "checkpoints", start, optimizer=Adam(1e-3), backend="numpy")
    resumed = train(algo, 4, resume=saved)
    for a, b in zip(leaves(through.params), leaves(resumed.params), strict=True):
        np.testing.assert_array_equal(a, b)
    if isinstance(start, ms.Meta):
        before, after = leaves(start.learned), leaves(through.params.learned)
        assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_meta_test_adapts_from_the_parameters(name):
    algo = ALGORITHMS[name]
    start = algo.init(NET.init(seed=0), backend="numpy")
    held_out = data.Sinusoid(stream="test")
    report = ms.meta_test(algo, NET.loss, start, held_out, tasks=3, tasks_per_batch=3, backend="numpy")
    tasks = [held_out.task(i) for i in range(3)]
    adapted = [ms.adapt(algo, NET.loss, start, task.support, backend="numpy") for task in tasks]
    losses = [NET.loss(theta, task.query) for theta, task in zip(adapted, tasks, strict=True)]
    assert report.loss_after.mean == pytest.approx(np.mean(losses), rel=1e-5)
    plain = [NET.loss(NET.init(seed=0), task.query) for task in tasks]
    assert report.loss_before.mean == pytest.approx(np.mean(plain), rel=1e-5)


def test_a_context_that_the_loss_does_not_use_is_an_error():
    params = {**NET.init(seed=0), "context": np.zeros(2, np.float32)}
    with pytest.raises(ms.errors.LossCheckError, match=r"does not depend on params\['context'\].*nothing is adapted"):
        ms.meta_train(ms.CAVIA(INNER, "context"), NET.loss, params, data.Sinusoid(), steps=1, backend="numpy")


def test_tasks_of_fewer_classes_have_the_head_of_their_own_prototypes():
    """The logits are those of a prototypical network, ||x||^2 apart, and a class without examples has none."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 4)), np.array([0, 2, 0, 2, 2, 0])
    w, b = nn.prototype_head(x, y, ways=4)
    points = rng.normal(size=(5, 4))
    logits = points @ w + b - np.sum(points**2, axis=1, keepdims=True)
    for c in (0, 2):
        np.testing.assert_allclose(logits[:, c], -np.sum((points - x[y == c].mean(axis=0)) ** 2, axis=1), rtol=1e-12)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert not shares[:, [1, 3]].any()


def test_a_module_that_need_not_adapt_learns_a_small_width():
    widths = load("learned_shrinkage").learned_widths()
    assert widths["offset"] < 0.35
    assert widths["slope"] > 2.0


def test_rates_of_more_steps_than_were_learned_are_the_last_ones():
    algo = ms.MAMLPlusPlus(0.01, 2)
    start = algo.init({"w": np.array(1.0)}, backend="numpy")
    start = start._replace(learned={"lr": {"w": np.array([0.1, 0.2])}})
    longer = ms.MAML(ms.GradientDescent(ms.Learned(0.01, per="leaf", per_step=True), 3))
    theta = ms.adapt(longer, lambda p, batch: 0.5 * (p["w"] * batch) ** 2, start, np.array(1.0), backend="numpy")
    assert theta["w"] == pytest.approx(0.9 * 0.8 * 0.8)


def test_decay_of_the_weights_of_a_multi_step_loss():
    assert ms.multi_step_weights(0, 4) == pytest.approx((0.25,) * 4)
    late = ms.multi_step_weights(1000, 4)
    assert late[:3] == pytest.approx((0.03 / 4,) * 3)
    assert sum(late) == pytest.approx(1.0)
