"""Outer optimisers against the frameworks' own, in float64: the portable ones on every backend, and the native ones."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest

import metaspec as ms
from metaspec import errors
from metaspec.data import Sinusoid
from metaspec.nn import MLP, tanh
from metaspec.training import (
    SGD,
    Adam,
    AdamW,
    Checkpoints,
    Constant,
    Cosine,
    Linear,
    Piecewise,
    WarmUp,
    meta_train,
    outer_optimizers,
)
from metaspec.training.framework_optimizers import optimizer_for
from tests.conftest import INSTALLED
from tests.core.problems import ROUNDOFF, error, to_numpy

STEPS = 5
numpy = ms.get_backend("numpy")
needs_torch = pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed")
needs_jax = pytest.mark.skipif("jax" not in INSTALLED, reason="JAX is not installed")
needs_tensorflow = pytest.mark.skipif("tensorflow" not in INSTALLED, reason="TensorFlow is not installed")


def trajectory(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"b": (3,), "s": (), "w": (2, 3)}
    return ({name: rng.standard_normal(shape) for name, shape in shapes.items()} for _ in range(STEPS + 1))


def follow(B, optimizer, start, deltas, dtype="float64", between=lambda B, state: state):
    with B.precision(dtype):
        params = ms.asarray(start, dtype=dtype, backend=B)
        state = optimizer.init(B, params)
        for step, delta in enumerate(deltas):
            rate = B.asarray(optimizer.rate(step), dtype=dtype)
            params, state = optimizer.update(B, params, state, ms.asarray(delta, dtype=dtype, backend=B), rate)
            state = between(B, state)
        return to_numpy(B, params)


def amplification(optimizer):
    """How far the end moves when all that comes in moves by a relative 2^-32; see docs/error-model.md."""
    start, *deltas = trajectory()
    end, eps, worst = follow(numpy, optimizer, start, deltas), 2.0**-32, 1.0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        moved = [
            {k: v * (1 + eps * rng.choice([-1.0, 1.0], v.shape)) for k, v in tree.items()} for tree in trajectory()
        ]
        for name, leaf in follow(numpy, optimizer, moved[0], moved[1:]).items():
            worst = max(worst, np.linalg.norm(leaf - end[name]) / np.linalg.norm(end[name]) / eps)
    return worst


def by_torch(make, schedule=None):
    import torch

    start, *deltas = trajectory()
    params = {name: torch.tensor(leaf) for name, leaf in start.items()}
    optimizer = make(list(params.values()))
    for step, delta in enumerate(deltas):
        for name, leaf in params.items():
            leaf.grad = torch.tensor(delta[name])
        if schedule is not None:
            optimizer.param_groups[0]["lr"] = schedule(step)
        optimizer.step()
    return {name: leaf.numpy() for name, leaf in params.items()}


def torch_pairs():
    """With b2 near 1 torch's own 1 - b2^t would lose the digits that are compared here."""
    import torch

    native, cosine = torch.optim, Cosine(0.1, 4, 0.01)
    return {
        "sgd": (SGD(0.1), partial(native.SGD, lr=0.1), None),
        "momentum": (SGD(0.1, 0.9), partial(native.SGD, lr=0.1, momentum=0.9), None),
        "nesterov": (SGD(cosine, 0.9, nesterov=True), partial(native.SGD, momentum=0.9, nesterov=True), cosine),
        "adam": (Adam(0.1, 0.8, 0.95, 1e-6), partial(native.Adam, lr=0.1, betas=(0.8, 0.95), eps=1e-6), None),
        "adam without b1": (Adam(0.1, 0.0, 0.95), partial(native.Adam, lr=0.1, betas=(0.0, 0.95)), None),
        "scheduled adam": (Adam(cosine, b2=0.95), partial(native.Adam, betas=(0.9, 0.95)), cosine),
        "adamw": (
            AdamW(cosine, b2=0.95, weight_decay=0.3),
            partial(native.AdamW, betas=(0.9, 0.95), weight_decay=0.3),
            cosine,
        ),
    }


PORTABLE = ("sgd", "momentum", "nesterov", "adam", "adam without b1", "scheduled adam", "adamw")
ON = [("numpy", name) for name in PORTABLE] + [(B, name) for B in INSTALLED if B != "numpy" for name in PORTABLE[2::4]]


@needs_torch
@pytest.mark.parametrize(("backend", "name"), ON)
def test_portable_optimizers_are_those_of_torch(backend, name):
    B = ms.get_backend(backend)
    optimizer, make, schedule = torch_pairs()[name]
    start, *deltas = trajectory()
    got = ms.asarray(follow(B, optimizer, start, deltas), backend="numpy")
    assert error(numpy, got, by_torch(make, schedule)) <= 16 * amplification(optimizer)


def test_adam_keeps_its_digits_at_the_first_step(B):
    """1 - 0.999 in float32 has few right digits; the first step is lr * delta / (|delta| + eps), whatever b1 and b2."""
    start, delta, *_ = trajectory()
    zero = {name: np.zeros_like(leaf) for name, leaf in start.items()}
    got = follow(B, Adam(1.0, eps=1e-12), zero, [delta], "float32")
    for name, leaf in delta.items():
        assert np.abs(got[name] + np.sign(leaf)).max() <= 16 * ROUNDOFF["float32"]


def stored_and_read(B, state):
    """What a checkpoint does to a state."""
    leaves, structure = B.tree_flatten(state)
    return B.tree_unflatten(structure, [B.asarray(np.array(B.to_numpy(leaf))) for leaf in leaves])


CLASSES = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD"]


@needs_torch
@pytest.mark.parametrize("name", CLASSES)
def test_classes_of_torch_optim(name):
    import torch

    make = partial(
        getattr(torch.optim, name), lr=0.05, **({"momentum": 0.9, "dampening": 0.5} if name == "SGD" else {})
    )
    B = ms.get_backend("torch")
    start, *deltas = trajectory()
    got = follow(B, optimizer_for(B, make), start, deltas, between=stored_and_read)
    for leaf, expected in by_torch(make).items():
        np.testing.assert_array_equal(got[leaf], expected)


@needs_torch
def test_a_class_of_torch_optim_on_our_schedule():
    import torch

    from metaspec_torch.optimizers import TorchOptimizer

    B, schedule = ms.get_backend("torch"), Linear(0.1, 0.0, 4)
    start, *deltas = trajectory()
    got = follow(B, TorchOptimizer(torch.optim.Adam, schedule), start, deltas)
    for leaf, expected in by_torch(torch.optim.Adam, schedule).items():
        np.testing.assert_array_equal(got[leaf], expected)


@needs_jax
def test_transformations_of_optax():
    optax = pytest.importorskip("optax")
    import jax

    schedule = optax.cosine_decay_schedule(0.1, 4)
    for made in (
        optax.adamw(schedule),
        optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1, 0.9, nesterov=True)),
    ):
        B = ms.get_backend("jax")
        start, *deltas = trajectory()
        got = follow(B, optimizer_for(B, made), start, deltas, between=stored_and_read)
        with jax.enable_x64(True):
            params = jax.tree.map(jax.numpy.asarray, start)
            state = made.init(params)
            for delta in deltas:
                updates, state = made.update(jax.tree.map(jax.numpy.asarray, delta), state, params)
                params = optax.apply_updates(params, updates)
        for leaf, expected in params.items():
            np.testing.assert_array_equal(got[leaf], expected)


@needs_tensorflow
def test_optimizers_of_keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras was imported with another backend in this process")
    B = ms.get_backend("tensorflow")
    decay = keras.optimizers.schedules.CosineDecay(0.1, 4)
    for made in (
        keras.optimizers.SGD(0.1, 0.9, nesterov=True, global_clipnorm=1.0),
        keras.optimizers.AdamW(decay, weight_decay=0.1),
        keras.optimizers.RMSprop(0.1),
    ):
        start, *deltas = trajectory()
        got = follow(B, optimizer_for(B, made), start, deltas, between=stored_and_read)
        assert not made.built, "the user's own optimizer was altered"
        variables = {name: keras.Variable(leaf, dtype="float64") for name, leaf in start.items()}
        for delta in deltas:
            made.apply([delta[name] for name in variables], list(variables.values()))
        for leaf, expected in variables.items():
            np.testing.assert_array_equal(got[leaf], expected.numpy())


def native(name):
    if name == "torch":
        import torch

        return partial(torch.optim.Adam, lr=0.05)
    if name == "jax":
        return pytest.importorskip("optax").adam(0.05)
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras was imported with another backend in this process")
    return keras.optimizers.Adam(0.05)


@pytest.mark.parametrize("name", [name for name in INSTALLED if name != "numpy"])
def test_native_optimizers_train_and_go_on(name, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    net, algo = MLP((1, 3, 1), activation=tanh), ms.FOMAML(ms.GradientDescent(0.05, 1))
    call = partial(
        meta_train, algo, net.loss, net.init(0), Sinusoid(shots=3, queries=3), tasks_per_step=2, backend=name
    )
    B, its = ms.get_backend(name), call(steps=2, optimizer=native(name))
    assert all((B.to_numpy(leaf) != net.init(0)[key]).any() for key, leaf in its.params.items())
    store = Checkpoints(tmp_path, every=1)
    call(steps=1, optimizer=native(name), checkpoints=store)
    resumed = call(steps=2, optimizer=native(name), checkpoints=store)
    for leaf, expected in its.params.items():
        np.testing.assert_array_equal(B.to_numpy(resumed.params[leaf]), B.to_numpy(expected))


@needs_jax
def test_schedules_are_those_of_optax():
    optax = pytest.importorskip("optax")
    pairs = (
        (Constant(0.1), optax.constant_schedule(0.1)),
        (Linear(0.3, 0.1, 7), optax.linear_schedule(0.3, 0.1, 7)),
        (Cosine(0.3, 7, 0.03), optax.cosine_decay_schedule(0.3, 7, alpha=0.1)),
        (
            WarmUp(4, Cosine(0.3, 6)),
            optax.join_schedules([optax.linear_schedule(0.06, 0.3, 4), optax.cosine_decay_schedule(0.3, 6)], [4]),
        ),
        (Piecewise((3, 5), (1.0, 0.5, 0.1)), optax.piecewise_constant_schedule(1.0, {3: 0.5, 5: 0.2})),
    )
    for ours, theirs in pairs:
        for step in range(14):
            assert ours(step) == pytest.approx(float(theirs(step)), rel=1e-6, abs=1e-7), (ours, step)  # float32 there


def test_clipping(B):
    rng = np.random.default_rng(0)
    tree = {"a": rng.standard_normal(3), "b": rng.standard_normal((2, 2))}
    length = np.sqrt(sum((leaf**2).sum() for leaf in tree.values()))
    with B.precision("float64"):
        there = ms.asarray(tree, backend=B)
        short = to_numpy(B, outer_optimizers.clip_by_global_norm(B, there, 0.25))
        same = to_numpy(B, outer_optimizers.clip_by_global_norm(B, there, length * 1.001))
        zero = to_numpy(B, outer_optimizers.clip_by_global_norm(B, ms.asarray({"a": np.zeros(2)}, backend=B), 0.25))
    for name, leaf in tree.items():
        np.testing.assert_allclose(short[name], leaf * (0.25 / length), rtol=16 * ROUNDOFF["float64"])
        np.testing.assert_array_equal(same[name], leaf)
    np.testing.assert_array_equal(zero["a"], np.zeros(2))


def test_clipping_shortens_the_step_and_any_function_is_a_schedule():
    net, algo = MLP((1, 3, 1), activation=tanh), ms.FOMAML(ms.GradientDescent(0.0, 0))
    source, rates = Sinusoid(shots=3, queries=3, dtype="float64"), {0: 0.5}
    kwargs = {
        "steps": 1,
        "tasks_per_step": 2,
        "clip_norm": 0.01,
        "backend": "numpy",
        "optimizer": SGD(lambda k: rates[k]),
    }
    start = net.init(0, "float64")
    run = meta_train(algo, net.loss, start, source, **kwargs)
    moved = np.concatenate([(start[name] - leaf).ravel() for name, leaf in run.params.items()])
    assert np.linalg.norm(moved) == pytest.approx(0.5 * 0.01, rel=1e-9)


def test_native_optimizers_are_found_without_importing_a_framework():
    code = (
        "import sys, metaspec as ms\n"
        "from metaspec.training import Adam\n"
        "from metaspec.training.framework_optimizers import optimizer_for\n"
        "optimizer_for(ms.get_backend('numpy'), Adam())\n"
        "assert not {'torch', 'jax', 'tensorflow', 'keras', 'optax'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_torch
def test_refusals():
    import torch

    B = ms.get_backend("torch")
    with pytest.raises(errors.BackendMismatchError, match="Adam works on arrays of 'torch', the backend is 'numpy'"):
        optimizer_for(numpy, torch.optim.Adam)
    with pytest.raises(errors.InvalidTypeError, match="expected a class of torch.optim or functools.partial"):
        optimizer_for(B, torch.optim.SGD([torch.ones(1)], lr=0.1))
    with pytest.raises(errors.InvalidTypeError, match="steps without a closure.*closure"):
        optimizer_for(B, torch.optim.LBFGS).init(B, {"w": torch.ones(1)})
    with pytest.raises(errors.InvalidTypeError, match=r"optimizer must be something like metaspec.training.Adam\(lr"):
        optimizer_for(B, object())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cosine(-0.1, 5), "Cosine: start must be a finite number >= 0, got -0.1"),
        (lambda: Linear(0.1, 0.0, 0), "Linear: steps must be >= 1, got 0"),
        (lambda: Piecewise((5, 3), (1, 1, 1)), "Piecewise: boundaries must increase"),
        (lambda: Piecewise((5,), (1,)), "values must be one more than boundaries"),
        (lambda: Piecewise(5, (1, 2)), r"Piecewise: boundaries must be a sequence such as \(10, 20\), got 5"),
        (lambda: Piecewise((5,), "12"), "Piecewise: values must be a sequence such as .*, got '12'"),
        (lambda: WarmUp(2, -1.0), "WarmUp: then must be a finite number >= 0, got -1.0"),
        (lambda: Adam(lambda k: float("nan")).rate(3), "Adam: lr at step 3 must be a finite number >= 0, got nan"),
        (lambda: AdamW(weight_decay=-1), "AdamW: weight_decay must be a finite number >= 0"),
    ],
)
def test_arguments(make, message):
    with pytest.raises((errors.InvalidArgumentError, errors.InvalidTypeError), match=message):
        make()
