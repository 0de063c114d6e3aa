"""Checkpoints: what is read is what was written, on every backend; what is damaged is named and passed over."""

import json
import shutil
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import safetensors.numpy

import metaspec as ms
from metaspec import errors
from metaspec.atomic_files import sole_user
from metaspec.data import Sinusoid
from metaspec.nn import MLP, tanh
from metaspec.training import (
    SGD,
    Adam,
    CheckpointError,
    Checkpoints,
    Evaluation,
    Run,
    StepRecord,
    checkpoint,
    load_checkpoint,
    meta_train,
    save_checkpoint,
)
from metaspec.training.evaluation import evaluator
from tests.conftest import INSTALLED
from tests.core.problems import ROUNDOFF

NET = MLP((1, 5, 1), activation=tanh)
ALGO = ms.FOMAML(ms.GradientDescent(0.05, 1))
SOURCE, HELD_OUT = Sinusoid(shots=4, queries=4), Sinusoid(shots=4, queries=4, stream="test")
numpy = ms.get_backend("numpy")


def train(steps, optimizer=None, backend="numpy", **kwargs):
    kwargs = {"optimizer": optimizer or Adam(0.01), "tasks_per_step": 2, "backend": backend} | kwargs
    loss, source = kwargs.pop("loss", NET.loss), kwargs.pop("source", SOURCE)
    return meta_train(ALGO, loss, NET.init(0), source, steps=steps, **kwargs)


def bits(B, tree):
    return {
        name: (leaf.dtype.name, leaf.shape, leaf.tobytes()) for name, leaf in checkpoint.named_leaves(B, tree).items()
    }


def perturbed(tree, rng, eps):
    return {k: v * (1 + eps * rng.choice([-1.0, 1.0], v.shape)) for k, v in tree.items()}


class Perturbed(NamedTuple):
    """HELD_OUT in float64 with every entry moved by a relative eps."""

    rng: np.random.Generator
    eps: float

    def task(self, index):
        raise NotImplementedError

    def batch(self, step, size):
        wide = Sinusoid(shots=4, queries=4, stream="test", dtype="float64").batch(step, size)
        return ms.Task(*(perturbed(part, self.rng, self.eps) for part in wide))


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    """A checkpoint of each backend, and each backend's evaluation of each of them."""
    folder = tmp_path_factory.mktemp("matrix")
    evaluators = {}
    for name in INSTALLED:
        save_checkpoint(folder / name, train(2, backend=name))
        evaluators[name] = evaluator(ms.get_backend(name), ALGO, NET.loss, None)
    found = {}
    for reader, test in evaluators.items():
        for writer in INSTALLED:
            params = load_checkpoint(folder / writer, NET.init(7), backend=reader).params
            found[writer, reader] = bits(ms.get_backend(reader), params), test(params, HELD_OUT, 6, 6)
    return folder, found


@pytest.mark.parametrize("reader", INSTALLED)
@pytest.mark.parametrize("writer", INSTALLED)
def test_written_by_one_backend_and_judged_on_another(matrix, writer, reader):
    folder, found = matrix
    same_bits, report = found[writer, reader]
    assert same_bits == found[writer, writer][0]
    params = {
        k: v.astype("float64") for k, v in load_checkpoint(folder / writer, NET.init(0), backend=numpy).params.items()
    }
    test, eps = evaluator(numpy, ALGO, NET.loss, None), 2.0**-32
    reference = test(params, Perturbed(np.random.default_rng(0), 0.0), 6, 6)
    for name in ("loss_before", "loss_after"):
        truth, amplification = getattr(reference, name).mean, 1.0
        for seed in range(3):
            rng = np.random.default_rng(seed)
            moved = getattr(test(perturbed(params, rng, eps), Perturbed(rng, eps), 6, 6), name).mean
            amplification = max(amplification, abs(moved - truth) / truth / eps)
        assert abs(getattr(report, name).mean - truth) / truth <= 16 * ROUNDOFF["float32"] * amplification


def test_every_bit_comes_back_and_training_goes_on_with_them(tmp_path):  # the other backends: test_killing.py
    plan = Evaluation(HELD_OUT, every=2, tasks=2, tasks_per_batch=2)
    with_all = partial(train, evaluation=plan)
    save_checkpoint(tmp_path / "half", with_all(3))
    half = load_checkpoint(tmp_path / "half", NET.init(1), Adam(0.01), backend=numpy)
    assert half.steps == 3
    assert half.best.judged == half.evaluations[0]
    through, rest = with_all(5), with_all(5, resume=half)
    for part in ("params", "optimizer_state", "best_params"):
        assert bits(numpy, getattr(rest, part)) == bits(numpy, getattr(through, part))
    assert bits(numpy, rest.params) != bits(numpy, half.params), "the parameters do not move any more"
    assert [r[:2] for r in rest.history] == [r[:2] for r in through.history]
    assert rest.evaluations == through.evaluations


@pytest.mark.skipif(len(INSTALLED) == 1, reason="there is one backend alone")
def test_a_run_goes_on_on_another_backend():
    name = next(name for name in INSTALLED if name != "numpy")
    through, moved = train(3), train(3, backend=name, resume=train(2))
    for leaf, expected in through.params.items():
        np.testing.assert_allclose(ms.get_backend(name).to_numpy(moved.params[leaf]), expected, rtol=1e-4, atol=1e-6)
    assert moved.steps == 3


class Moments(NamedTuple):
    mu: object
    nu: object


def test_trees_of_every_kind(B, tmp_path):
    tree = {
        "list": [
            np.float32([1.5]),
            (np.zeros((0, 3), "float32"), Moments(np.float32(2.5), np.arange(4.0, dtype="float32"))),
        ],
        "a/b": np.array(np.arange(6, dtype="float32").reshape(2, 3).T),
        "a": {"b": np.float32([7.0])},
        "none": None,
    }
    params = ms.asarray(tree, backend=B)
    save_checkpoint(tmp_path / "c", Run(params, None), backend=B)
    back = load_checkpoint(tmp_path / "c", params, backend=B)
    assert bits(B, back.params) == bits(B, params)
    assert B.tree_flatten(back.params)[1] == B.tree_flatten(params)[1]
    kept = safetensors.numpy.load_file(tmp_path / "c" / "state.safetensors")
    assert len([name for name in kept if name.startswith("params/")]) == 6


def test_names_of_leaves_are_paths(tmp_path):
    save_checkpoint(tmp_path / "c", Run({"layers": [{"w": np.ones(2)}]}, None))
    kept = safetensors.numpy.load_file(tmp_path / "c" / "state.safetensors")
    assert kept["params/layers/0/w"].tolist() == [1.0, 1.0]


def test_formats(tmp_path):
    if "jax" in INSTALLED:
        params = ms.asarray({"w": np.arange(3.0) / 3}, dtype="bfloat16", backend="jax")
        save_checkpoint(tmp_path / "c", Run(params, None))
        back = load_checkpoint(tmp_path / "c", params).params["w"]
        assert str(back.dtype) == "bfloat16"
        assert (back == params["w"]).all()
    with pytest.raises(errors.DtypeNotHonouredError, match="params/w is .*widest format is float64"):
        save_checkpoint(tmp_path / "d", Run({"w": np.ones(2, "longdouble")}, None))
    assert not (tmp_path / "d").exists()


def damage(name):
    def with_content(file, change):
        return lambda folder: (folder / file).write_bytes(change((folder / file).read_bytes()))

    def flipped(content):
        return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]

    def figure(content):
        return content.replace(b'"steps": 4', b'"steps": 5')

    def newer(content):
        return json.dumps(json.loads(content) | {"version": 2}).encode()

    foreign = safetensors.numpy.save({"w": np.ones(3)})
    return {
        "arrays cut": (
            with_content("state.safetensors", lambda c: c[: len(c) // 2]),
            "state.safetensors: .* truncated",
        ),
        "arrays empty": (with_content("state.safetensors", lambda c: b""), "state.safetensors: 0 bytes"),
        "arrays flipped": (with_content("state.safetensors", flipped), "state.safetensors: its sha256"),
        "arrays foreign": (with_content("state.safetensors", lambda c: foreign), "state.safetensors: .* foreign"),
        "arrays gone": (lambda folder: (folder / "state.safetensors").unlink(), "state.safetensors: No such file"),
        "description cut": (with_content("state.json", lambda c: c[:-20]), "state.json: it is no JSON"),
        "description no text": (with_content("state.json", lambda c: b"\xff\xfe\x00"), "state.json: it is no JSON"),
        "description changed": (
            with_content("state.json", figure),
            "state.json: its contents are not what was written",
        ),
        "description foreign": (with_content("state.json", lambda c: b"[1]"), "state.json: it is not of a checkpoint"),
        "description newer": (with_content("state.json", newer), "state.json: it has format 2"),
        "all gone": (lambda folder: [file.unlink() for file in folder.iterdir()], "state.json: No such file"),
    }[name]


NAMES = "arrays cut,arrays empty,arrays flipped,arrays foreign,arrays gone,description cut,description no text"
NAMES = [*NAMES.split(","), "description changed", "description foreign", "description newer", "all gone"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return folder, train(4, checkpoints=Checkpoints(folder, every=2, keep=2))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_damaged_is_named_and_the_one_before_it_is_used(trained, tmp_path, name):
    folder, run = tmp_path / "c", trained[1]
    shutil.copytree(trained[0], folder)
    break_it, message = damage(name)
    break_it(folder / "step-00000004")
    with pytest.raises(CheckpointError, match=f"step-00000004.{message}"):
        load_checkpoint(folder / "step-00000004", NET.init(0))
    with pytest.warns(RuntimeWarning, match=f"step-00000004.{message}.*step-00000002 is used"):
        assert load_checkpoint(folder, NET.init(0)).steps == 2
    with pytest.warns(RuntimeWarning, match="step-00000002 is used"):
        again = train(4, checkpoints=Checkpoints(folder, every=2, keep=2))
    assert bits(numpy, again.params) == bits(numpy, run.params)
    assert load_checkpoint(folder / "step-00000004", NET.init(0)).steps == 4, "the damaged one was not replaced"


def test_where_all_are_damaged_nothing_is_made_up(trained, tmp_path):
    shutil.copytree(trained[0], tmp_path / "c")
    for name in ("step-00000002", "step-00000004"):
        damage("arrays cut")[0](tmp_path / "c" / name)
    with pytest.raises(CheckpointError, match="is whole; to begin anew, remove them.*step-00000004.*step-00000002"):
        train(4, checkpoints=Checkpoints(tmp_path / "c"))


def test_other_models_and_optimizers_are_refused(trained):
    wide, deep = MLP((1, 6, 1)), MLP((1, 5, 5, 1))
    with pytest.raises(CheckpointError, match=r"step-00000004.*params/b0 is float32 \[5\], expected float32 \[6\]"):
        load_checkpoint(trained[0], wide.init(0))
    with pytest.raises(CheckpointError, match="leaves of its params are others: missing b2, w2; not expected nothing"):
        load_checkpoint(trained[0], deep.init(0))
    with pytest.raises(CheckpointError, match="params/b0 is float32.*expected float64"):
        load_checkpoint(trained[0], NET.init(0, "float64"))
    with pytest.raises(CheckpointError, match="leaves of its optimizer are others"):
        load_checkpoint(trained[0], NET.init(0), SGD(0.1))
    with pytest.raises(CheckpointError, match="state.json: No such file.*there is no checkpoint in .*nowhere"):
        load_checkpoint(trained[0] / "nowhere", NET.init(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": Adam(0.02)}, "optimizer.lr was 0.01 and is 0.02"),
        ({"source": Sinusoid(shots=4, queries=4, seed=1)}, "tasks.seed was 0 and is 1"),
        ({"tasks_per_step": 3}, "tasks_per_step was 2 and is 3"),
        ({"optimizer": SGD(0.01)}, "set-up: optimizer was Adam and is SGD. Choose"),
        ({"clip_norm": 1.0}, "clip_norm was None and is 1.0"),
        ({"loss": MLP((1, 5, 1)).loss}, "loss.of.activation was '.*tanh' and is '.*relu'"),
    ],
)
def test_another_set_up_does_not_go_on_silently(trained, change, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        train(6, checkpoints=Checkpoints(trained[0], every=2, keep=2), **change)


def test_old_ones_go_and_the_best_parameters_stay(tmp_path):
    first = []
    plan = Evaluation(HELD_OUT, every=1, tasks=2, tasks_per_batch=2, goal=lambda report: float(len(first)))
    run = train(
        7,
        evaluation=plan,
        checkpoints=Checkpoints(tmp_path, every=2, keep=2),
        callbacks=[lambda progress: first.append(bits(numpy, progress.params))],
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000006", "step-00000007"]
    back = load_checkpoint(tmp_path, NET.init(0))
    assert back.best.judged.steps == 1
    assert bits(numpy, back.best_params) == bits(numpy, run.best_params) == first[0]


def test_one_folder_has_one_training(tmp_path):
    with sole_user(tmp_path), pytest.raises(errors.InvalidArgumentError, match="another process is writing there"):
        train(1, checkpoints=Checkpoints(tmp_path))
    assert train(1, checkpoints=Checkpoints(tmp_path)).steps == 1


def test_what_stops_a_training_leaves_its_last_good_step(tmp_path):
    def interrupt(progress):
        if progress.record.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(9, checkpoints=Checkpoints(tmp_path), callbacks=[interrupt])
    assert load_checkpoint(tmp_path, NET.init(0)).history[-1].step == 2
    resumed, through = train(5, checkpoints=Checkpoints(tmp_path)), train(5)
    assert bits(numpy, resumed.params) == bits(numpy, through.params)


def test_a_state_of_another_optimizer_is_refused():
    with pytest.raises(errors.InvalidArgumentError, match=r"its optimizer_state is of another optimizer.*\['m'\]"):
        train(3, optimizer=SGD(0.01, 0.9), resume=train(2))
    with pytest.warns(match="the optimizer starts afresh.*load_checkpoint"):
        assert train(3, optimizer=SGD(0.01, 0.9), resume=replace(train(2), optimizer_state=None)).steps == 3


def test_a_checkpoint_replaces_a_checkpoint_and_nothing_else(tmp_path):
    run, thesis = train(1), tmp_path / "mine" / "thesis.txt"
    for steps in (1, 2):
        save_checkpoint(tmp_path / "c", train(steps))
        assert load_checkpoint(tmp_path / "c", NET.init(0)).steps == steps
    thesis.parent.mkdir()
    thesis.write_text("mine")
    for place in (thesis, thesis.parent, tmp_path):
        with pytest.raises(errors.InvalidArgumentError, match="is there and is no checkpoint, it would be lost"):
            save_checkpoint(place, run)
    assert thesis.read_text() == "mine"
    with pytest.raises(errors.InvalidTypeError, match="save_checkpoint: run must be what meta_train returns, got dict"):
        save_checkpoint(tmp_path / "d", run.params)


def test_arguments(tmp_path):
    with pytest.raises(errors.InvalidArgumentError, match="Checkpoints: keep must be >= 1, got 0"):
        Checkpoints(tmp_path, keep=0)
    with pytest.raises(errors.InvalidTypeError, match="checkpoints must be of type Checkpoints or None, got str"):
        train(1, checkpoints="folder")
    train(1, checkpoints=Checkpoints(tmp_path))
    with pytest.raises(errors.InvalidArgumentError, match="both resume and checkpoints"):
        train(1, checkpoints=Checkpoints(tmp_path), resume=Run(NET.init(0), None, (StepRecord(0, 0.0, 0.0),)))
