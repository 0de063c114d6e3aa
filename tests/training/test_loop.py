"""On the way: evaluations, the best model, early stop, callbacks, figures, what is not finite, prefetch."""

import io
import json
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from functools import partial

import pytest
from rich.console import Console

import metaspec as ms
from metaspec import errors
from metaspec.data import Sinusoid
from metaspec.experiments.display import Display
from metaspec.nn import MLP, tanh
from metaspec.training import (
    SGD,
    Adam,
    Checkpoints,
    DivergedError,
    Estimate,
    Evaluation,
    EvaluationReport,
    JsonLines,
    TensorBoard,
    error_after,
    load_checkpoint,
    meta_test,
    meta_train,
    training_steps,
)
from metaspec.training.prefetch import prefetched

NET = MLP((1, 4, 1), activation=tanh)
ALGO = ms.FOMAML(ms.GradientDescent(0.05, 1))
SOURCE, HELD_OUT = Sinusoid(shots=3, queries=3), Sinusoid(shots=3, queries=3, stream="test")
numpy = ms.get_backend("numpy")


def train(steps, **kwargs):
    kwargs = {"optimizer": Adam(0.02), "tasks_per_step": 2, "backend": "numpy"} | kwargs
    return meta_train(ALGO, NET.loss, NET.init(0), kwargs.pop("source", SOURCE), steps=steps, **kwargs)


def same(one, other):
    return all((one[name] == other[name]).all() for name in NET.init(0))


def goals(*values):
    """An Evaluation after every step whose goals are given."""
    following = iter(values)
    return Evaluation(HELD_OUT, every=1, tasks=2, tasks_per_batch=2, goal=lambda report: next(following))


@dataclass
class Diary:
    events: list = field(default_factory=list)

    def start(self, run):
        self.events.append(("start", run.steps))

    def __call__(self, progress):
        self.events.append(("step", progress.record.step))

    def evaluated(self, judged):
        self.events.append(("evaluated", judged.steps))

    def end(self, run):
        self.events.append(("end", run.steps))


def test_evaluations_are_meta_tests_of_the_parameters_as_they_are():
    seen = {}
    run = train(
        5,
        evaluation=Evaluation(HELD_OUT, every=2, tasks=4, tasks_per_batch=2),
        callbacks=[lambda progress: seen.update({progress.record.step + 1: progress.params})],
    )
    assert [judged.steps for judged in run.evaluations] == [2, 4]
    for judged in run.evaluations:
        report = meta_test(ALGO, NET.loss, seen[judged.steps], HELD_OUT, tasks=4, tasks_per_batch=2, backend="numpy")
        assert judged.report == report
        assert judged.goal == report.loss_after.mean


def test_the_best_parameters_are_kept_as_they_were():
    seen = []
    keep = [lambda progress: seen.append({name: leaf.copy() for name, leaf in progress.params.items()})]
    run = train(5, evaluation=goals(3.0, float("nan"), 1.0, 1.0, 2.0), callbacks=keep)
    assert run.best.judged.steps == 3
    assert same(run.best_params, seen[2])
    assert not same(run.best_params, run.params)
    assert train(2, evaluation=goals(float("nan"), 5.0)).best.judged.steps == 2


def test_training_stops_when_patience_is_out_and_does_not_go_on(tmp_path):
    from dataclasses import replace

    plan, store = replace(goals(3.0, 1.0, 1.5, 1.0, 0.5), patience=2), Checkpoints(tmp_path, every=100)
    run = train(50, evaluation=plan, checkpoints=store)
    assert run.steps == 4
    assert run.best.judged.steps == 2
    again = train(50, evaluation=plan, checkpoints=store)
    assert again.steps == 4
    assert same(again.best_params, run.best_params)


def test_the_goal_may_be_an_accuracy():
    report = EvaluationReport(4, Estimate(1.0, 0.1), Estimate(1.0, 0.1), Estimate(0.5, 0.1), Estimate(0.75, 0.1))
    assert error_after(report) == 0.25
    assert EvaluationReport.from_dict(json.loads(json.dumps(report.as_dict()))) == report
    with pytest.raises(errors.InvalidArgumentError, match="goal=error_after needs a metric"):
        train(1, evaluation=Evaluation(HELD_OUT, every=1, tasks=2, tasks_per_batch=2, goal=error_after))


def test_callbacks_are_called_in_order_and_may_stop():
    diary, after = Diary(), Diary()
    run = train(9, evaluation=goals(*range(9)), callbacks=[diary, lambda p: p.record.step == 1, after])
    assert run.steps == 2
    expected = [("start", 0), ("step", 0), ("evaluated", 1), ("step", 1), ("evaluated", 2), ("end", 2)]
    assert diary.events == after.events == expected

    def fail(progress):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        train(9, callbacks=[fail, diary])
    assert diary.events[-1] == ("end", 1)


def test_a_callback_that_cannot_start_says_why_and_those_that_have_are_ended(tmp_path):
    diary, never = Diary(), Diary()
    (tmp_path / "m").mkdir()
    with pytest.raises(IsADirectoryError):
        train(1, callbacks=[diary, JsonLines(tmp_path / "m"), never])
    assert diary.events == [("start", 0), ("end", 0)]
    assert never.events == []


def test_json_lines_begin_anew_from_what_is_gone_on_with(tmp_path):
    plan, file = Evaluation(HELD_OUT, every=2, tasks=2, tasks_per_batch=2), tmp_path / "new" / "metrics.jsonl"
    whole = partial(train, evaluation=plan, callbacks=[JsonLines(file)])
    run = whole(5)
    through = file.read_text()
    lines = [json.loads(line) for line in through.splitlines()]
    assert [line.get("step", f"after {line.get('steps')}") for line in lines] == [0, 1, "after 2", 2, 3, "after 4", 4]
    assert [line["query_loss"] for line in lines if "step" in line] == [record.query_loss for record in run.history]
    assert lines[2]["evaluation"] == run.evaluations[0].report.as_dict()
    half = whole(3)
    file.write_text(file.read_text() + '{"step": 3, "query_l')
    whole(5, resume=half)
    assert file.read_text() == through


def test_json_lines_have_no_figures_that_json_does_not_have(tmp_path):
    train(1, evaluation=Evaluation(HELD_OUT, 1, tasks=1, tasks_per_batch=1), callbacks=[JsonLines(tmp_path / "m")])
    line = (tmp_path / "m").read_text().splitlines()[1]
    assert json.loads(line, parse_constant=pytest.fail)["evaluation"]["loss_after"]["half_width"] is None


def scalars(folder):
    """(tag, step, value) of every scalar in TensorBoard's record files: length, CRC, a protocol buffer, CRC."""
    from tensorboardX.proto.event_pb2 import Event

    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        while content:
            size = struct.unpack("<Q", content[:8])[0]
            event = Event.FromString(content[12 : 12 + size])
            content = content[16 + size :]
            yield from ((value.tag, event.step, value.simple_value) for value in event.summary.value)


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    plan = Evaluation(HELD_OUT, every=2, tasks=2, tasks_per_batch=2)
    whole = partial(train, evaluation=plan, callbacks=[TensorBoard(tmp_path)])
    run = whole(3, resume=whole(2))
    found = list(scalars(tmp_path))
    assert [step for tag, step, _ in found if tag == "train/query_loss"] == [1, 2, 3]
    losses = [value for tag, _, value in found if tag == "train/query_loss"]
    assert losses == pytest.approx([record.query_loss for record in run.history], rel=1e-6)
    assert ("evaluation/loss_after", 2) in [entry[:2] for entry in found]


def test_tensorboard_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"TensorBoard: needs tensorboardX.*pip install 'metaspec\[tensorboard\]'"):
        TensorBoard(tmp_path)


def test_display_is_plain_where_there_is_no_terminal():
    out = io.StringIO()
    half = train(10)
    display = Display(20, Console(file=out, width=40))
    run = train(20, resume=half, evaluation=Evaluation(HELD_OUT, 20, 2, 2), callbacks=[display])
    lines = out.getvalue().splitlines()
    assert [line.split()[1] for line in lines[:-1]] == [f"{step}/20" for step in (12, 14, 16, 18, 20)]
    smoothed = run.history[10].query_loss
    for record in run.history[11:20]:
        smoothed = 0.95 * smoothed + 0.05 * record.query_loss
    assert f"query loss {smoothed:.4f}" in lines[4]
    assert "steps/s  0 s left" in lines[4]
    assert lines[5].startswith("after 20 steps, on 2 held-out tasks: loss ")


def test_display_is_a_bar_on_a_terminal():
    out = io.StringIO()
    train(3, callbacks=[Display(3, Console(file=out, force_terminal=True, width=100))])
    assert "3/3" in out.getvalue()
    assert "query loss" in out.getvalue()


def test_what_is_not_finite_stops_and_the_last_good_state_is_kept(tmp_path):
    rates = [0.1, 0.1, 1e308, 0.1]
    with pytest.raises(
        DivergedError, match=r"outer step 2: the meta-update is finite, the outer optimiser's step"
    ) as e:
        train(9, optimizer=SGD(lambda step: rates[step]), checkpoints=Checkpoints(tmp_path, every=100))
    good = train(2, optimizer=SGD(lambda step: rates[step]))
    assert str(e.value).endswith(
        f"The last good state is that after 2 steps: it is in the error's `run` and the newest checkpoint in {tmp_path}"
    )
    assert "the outer learning rate is too large: lower it, or give clip_norm" in str(e.value)
    assert e.value.run.steps == 2
    assert same(e.value.run.params, good.params)
    assert same(load_checkpoint(tmp_path, NET.init(0), backend="numpy").params, good.params)


def test_no_checkpoint_is_promised_where_there_is_none(tmp_path):
    with pytest.raises(DivergedError, match=r"after 0 steps: it is in the error's `run`$"):
        train(9, optimizer=SGD(1e308), checkpoints=Checkpoints(tmp_path))


def test_a_query_loss_that_is_not_finite_stops():
    def loss(params, batch):
        return NET.loss(params, batch) + ms.array_namespace(params).sum(batch["y"]) * float("inf")

    with pytest.raises(DivergedError, match="outer step 0: .*the query loss at its end is (inf|-inf|nan)"):
        meta_train(ALGO, loss, NET.init(0), SOURCE, steps=1, backend="numpy")


def test_prefetching_changes_no_bit_and_leaves_no_thread():
    before = threading.active_count()
    runs = [train(6, prefetch=ahead) for ahead in (0, 1, 7)]
    assert threading.active_count() == before
    assert all(same(run.params, runs[0].params) for run in runs)
    assert len({tuple(record.query_loss for record in run.history) for run in runs}) == 1


def test_a_loop_that_is_left_early_says_nothing_when_the_interpreter_ends():
    """JAX keeps the iterator until the modules are half gone, and with it the thread that made batches."""
    pytest.importorskip("jax")
    program = """
import metaspec as ms
from metaspec.data import Sinusoid
from metaspec.nn import sinusoid_mlp
from metaspec.training import SGD, training_steps
network = sinusoid_mlp()
algo = ms.FOMAML(ms.GradientDescent(0.01, 1))
steps = training_steps(algo, network.loss, network.init(0), Sinusoid(), SGD(0.01), tasks_per_step=2, backend="jax")
for progress in steps:
    if progress.record.step == 2:
        break
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


@dataclass(frozen=True)
class Failing:
    """A source with three batches."""

    def task(self, index):
        return SOURCE.task(index)

    def batch(self, step, size):
        if step == 3:
            raise OSError("no more")
        return SOURCE.batch(step, size)


@pytest.mark.parametrize("ahead", [0, 1, 7])
def test_what_a_source_raises_comes_at_its_own_step(ahead):
    before = threading.active_count()
    diary = Diary()
    assert train(3, source=Failing(), prefetch=ahead).steps == 3
    with pytest.raises(OSError, match="no more"):
        train(4, source=Failing(), prefetch=ahead, callbacks=[diary])
    assert diary.events[-2:] == [("step", 2), ("end", 3)]
    assert threading.active_count() == before


def test_batches_are_made_ahead_in_order_and_in_the_callers_context():
    made = []

    def make(number):
        made.append((number, ms.get_backend().name))
        return number

    with ms.backend_context("numpy"), prefetched(make, 5, 3) as batches:
        assert next(batches) == 5
        assert next(batches) == 6
    assert made[:3] == [(5, "numpy"), (6, "numpy"), (7, "numpy")]
    assert len(made) <= 5


def test_an_abandoned_loop_ends_its_thread():
    before = threading.active_count()
    steps = training_steps(ALGO, NET.loss, NET.init(0), SOURCE, Adam(), tasks_per_step=2, backend="numpy")
    next(steps)
    assert threading.active_count() == before + 1
    steps.close()
    assert threading.active_count() == before


def test_arguments():
    for kwargs, message in (
        ({"prefetch": -1}, "meta_train: prefetch must be >= 0, got -1"),
        ({"clip_norm": 0.0}, "meta_train: clip_norm must be a finite number > 0, got 0.0"),
    ):
        with pytest.raises(errors.InvalidArgumentError, match=message):
            train(1, **kwargs)
    with pytest.raises(errors.InvalidTypeError, match="evaluation must be of type Evaluation or None, got dict"):
        train(1, evaluation={})
    for callbacks in (JsonLines("m"), [3], print):
        with pytest.raises(errors.InvalidTypeError, match="meta_train: callbacks must be a list of functions"):
            train(1, callbacks=callbacks)
    for name in ("metric", "goal"):
        with pytest.raises(errors.InvalidTypeError, match=f"Evaluation: {name} must be a function"):
            Evaluation(HELD_OUT, **{name: "loss"})
    with pytest.raises(errors.InvalidTypeError, match="meta_test: metric must be"):
        meta_test(ALGO, NET.loss, NET.init(0), HELD_OUT, metric="accuracy", backend="numpy")
    with pytest.raises(errors.InvalidTypeError, match="Evaluation: source needs task"):
        Evaluation([1, 2])
    with pytest.raises(errors.InvalidArgumentError, match="Evaluation: patience must be >= 1, got 0"):
        Evaluation(HELD_OUT, patience=0)
