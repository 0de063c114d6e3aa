"""Laws of training: what an outer step is; a training may stop and go on; what it hands out stays as it is."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from metaspec.algorithms import FOMAML
from metaspec.inner.gradient_descent import GradientDescent
from metaspec.task import Task, Tree
from metaspec.training import (
    SGD,
    Adam,
    AdamW,
    Checkpoints,
    Evaluation,
    EvaluationReport,
    Progress,
    Run,
    load_checkpoint,
    meta_test,
    meta_train,
    save_checkpoint,
)
from metaspec.trees import tree_map
from metaspec_conformance.judging import error_model
from metaspec_conformance.judging.numpy_trees import cast
from metaspec_conformance.judging.numpy_trees import tree_map as plain_map
from metaspec_conformance.laws.framework.claims import Claim, Equal, Holds, Same, Within
from metaspec_conformance.laws.framework.law import hyphenated, law
from metaspec_conformance.laws.framework.law_context import LawContext
from metaspec_conformance.laws.framework.law_scenarios import nowhere
from metaspec_conformance.oracles import quadratic
from metaspec_conformance.scenarios import datasets
from metaspec_conformance.scenarios.scenario import Scenario

ALGORITHM = FOMAML(GradientDescent(0.5, 1))
SHAPES = {"w": datasets.shaped(4)}


def _one_leaf() -> list[Scenario]:
    """One task of one leaf: a training is compiled for each backend, and is to cost little."""
    params, task = datasets.parameters(301, SHAPES), datasets.least_squares(302, SHAPES)
    return [Scenario("", "least_squares", params, (task,), ALGORITHM, "quadratic", ())]


training = partial(law, on=_one_leaf, applies=nowhere, subject="training", naming=hyphenated("training/"))
exactly = partial(training, numeric=False, dtypes=("float64",))

PER_STEP = 2
ROUNDED = 2.0**-52
ROUNDOFFS = 1024  # of figures that are Python numbers; the tasks are well conditioned


@dataclass(frozen=True)
class Quadratics:
    """A source of least-squares problems; it notes which batches were asked for."""

    dtype: str
    first: int = 300
    asked: list[int] = field(default_factory=list, repr=False, compare=False)

    def task(self, index: int) -> Task:
        """Task number `index`."""
        drawn: Task = cast(datasets.least_squares(self.first + index, SHAPES, support=6, query=6), np.dtype(self.dtype))
        return drawn

    def batch(self, step: int, size: int) -> Task:
        """Tasks number step * size and on, stacked."""
        self.asked.append(step)
        tasks = [self.task(step * size + i) for i in range(size)]
        stacked: Task = plain_map(lambda *rows: np.stack(rows), *tasks)
        return stacked


def _trained(at: LawContext, steps: int, source: Quadratics | None = None, **options: Any) -> Run:
    tasks = Quadratics(at.dtype) if source is None else source
    options = {"check": False} | options  # the perturbed arithmetic of evidence looks like random numbers
    algorithm = options.pop("algorithm", ALGORITHM)
    return meta_train(
        algorithm, at.loss, at.params, tasks, steps=steps, tasks_per_step=PER_STEP, backend=at.B, **options
    )


def _closed(at: LawContext, phi: Tree, task: Task, steps: int = 1) -> dict[str, Any]:
    """delta, adapted, query_loss by the closed form, without a backend."""
    algorithm = FOMAML(GradientDescent(0.5, steps))
    return quadratic.compute(replace(at.scenario, params=phi, tasks=(task,), algorithm=algorithm), task)


def _copied(at: LawContext, tree: Tree) -> Tree:
    """The values as they are now, in memory of their own."""
    return tree_map(at.B, lambda leaf: np.array(at.B.to_numpy(leaf) if at.B.is_array(leaf) else leaf), tree)


def _state(at: LawContext, run: Run) -> Tree:
    """All that a training has come to, but for the seconds that it took."""
    best = None if run.best is None else (np.array(run.best.judged.goal), run.best.params)
    losses = np.array([record.query_loss for record in run.history])
    goals = np.array([judged.goal for judged in run.evaluations])
    return _copied(at, (run.params, run.optimizer_state, losses, goals, best))


def _near(found: float, wanted: float, dtype: str) -> bool:
    return abs(found - wanted) <= ROUNDOFFS * error_model.ROUNDOFF.get(dtype, 0.0) * abs(wanted) + 1e-300


@training("phi_{k+1} = phi_k - beta mean_t D_t, on the source's batch k", "MS-TRAIN-1", "MS-BATCH-1")
def outer_step(at: LawContext) -> Iterator[Claim]:
    source = Quadratics(at.dtype)
    run = _trained(at, 2, source, optimizer=SGD(0.25))
    phi, losses = cast(at.scenario.params, np.longdouble), []
    for step in range(2):
        found = [_closed(at, phi, source.task(PER_STEP * step + i)) for i in range(PER_STEP)]
        losses.append(float(sum(one["query_loss"] for one in found) / PER_STEP))
        phi = {"w": phi["w"] - sum(one["delta"]["w"] for one in found) / PER_STEP / 4}
    yield Equal("params", run.params, phi)
    yield Holds(
        "batches 0, 1, ... in turn", source.asked == list(range(len(source.asked))), f"asked for {source.asked}"
    )
    same = all(_near(r.query_loss, wanted, at.dtype) for r, wanted in zip(run.history, losses, strict=True))
    yield Holds("query losses", same, f"the history has {[r.query_loss for r in run.history]}, expected {losses}")
    numbered = [record.step for record in run.history] == [0, 1] and run.steps == 2
    yield Holds("steps are numbered from 0", numbered)


@training("outer step k is that of the algorithm which a function gives for k", "MS-TRAIN-5")
def scheduled(at: LawContext) -> Iterator[Claim]:
    source = Quadratics(at.dtype)
    asked = partial(_trained, algorithm=lambda step: FOMAML(GradientDescent(0.5, 1 + step)))
    run = asked(at, 2, source, optimizer=SGD(0.25))
    phi = cast(at.scenario.params, np.longdouble)
    for step in range(2):
        found = [_closed(at, phi, source.task(PER_STEP * step + i), steps=1 + step) for i in range(PER_STEP)]
        phi = {"w": phi["w"] - sum(one["delta"]["w"] for one in found) / PER_STEP / 4}
    yield Equal("params", run.params, phi)


def _rules(deltas: list[Any], phi: Any) -> dict[str, tuple[Any, Any]]:
    """Each outer optimiser, and where its rule leads, written out in extended precision."""
    b1, b2, lr, eps, decay = (np.longdouble(x) for x in (0.75, 0.875, 0.125, 2.0**-20, 0.25))
    heavy, ahead, adam, shrunk = phi, phi, phi, phi
    m = mean = square = np.zeros_like(phi)
    for t, d in enumerate(deltas, start=1):
        m = d + b1 * m
        heavy, ahead = heavy - lr * m, ahead - lr * (d + b1 * m)
        mean, square = b1 * mean + (1 - b1) * d, b2 * square + (1 - b2) * d * d
        way = mean / (1 - b1**t) / (np.sqrt(square / (1 - b2**t)) + eps)
        adam, shrunk = adam - lr * way, shrunk - lr * (way + decay * shrunk)
    plain = {"lr": 0.125, "b1": 0.75, "b2": 0.875, "eps": 2.0**-20}
    return {
        "momentum": (SGD(0.125, momentum=0.75), heavy),
        "Nesterov": (SGD(0.125, momentum=0.75, nesterov=True), ahead),
        "Adam": (Adam(**plain), adam),
        "AdamW": (AdamW(**plain, weight_decay=0.25), shrunk),
    }


@training("phi_3 of momentum, Nesterov, Adam and AdamW, written out", "MS-TRAIN-1")
def outer_rules(at: LawContext) -> Iterator[Claim]:
    phi = np.array([1.0, -2.0, 0.5, 3.0])
    deltas = np.array([[0.5, -1.0, 0.0, 2.0], [1.5, 0.25, 0.0, -1.0], [-0.75, 2.0, 0.0, 1.25]])
    exact = [row.astype(np.longdouble) for row in deltas]
    for name, (optimizer, wanted) in _rules(exact, phi.astype(np.longdouble)).items():
        params = at.array({"w": phi})
        state = optimizer.init(at.B, params)
        for k, delta in enumerate(deltas):
            rate = at.array(np.array(optimizer.rate(k)))
            params, state = optimizer.update(at.B, params, state, at.array({"w": delta}), rate)
        # The bias correction's logarithm of a decay is a float64 number in every format.
        yield Within(name, params, {"w": wanted}, ROUNDED if "Adam" in name else 0.0)


@exactly("train to n, save, restore, train to m = train to m, bit for bit", "MS-TRAIN-2")
def resume(at: LawContext) -> Iterator[Claim]:
    options: dict[str, Any] = {"optimizer": Adam(0.125), "evaluation": Evaluation(Quadratics(at.dtype, 500), 1, 2, 2)}
    through = _state(at, _trained(at, 3, **options))
    with TemporaryDirectory() as folder:
        kept = Checkpoints(Path(folder) / "kept", every=1)
        half = _trained(at, 2, checkpoints=kept, **options)
        yield Same("saved, restored, trained on", _state(at, _trained(at, 3, checkpoints=kept, **options)), through)
        save_checkpoint(Path(folder) / "half", half, backend=at.B)
        restored = load_checkpoint(Path(folder) / "half", at.params, options["optimizer"], backend=at.B)
        yield Same("what was saved is restored", _state(at, restored), _state(at, half))
    taken = [record.step for record in half.history]
    yield Holds("steps are counted", taken == [0, 1] and restored.steps == 2, f"the history has steps {taken}")


@exactly("what was handed out stays as it is", "MS-TRAIN-3", "MS-PURE-1")
def snapshots(at: LawContext) -> Iterator[Claim]:
    before = _copied(at, at.params)
    handed: list[tuple[Progress, Tree]] = []

    def note(progress: Progress) -> None:
        handed.append((progress, _copied(at, (progress.params, progress.optimizer_state))))

    worse = iter(range(100))
    evaluation = Evaluation(Quadratics(at.dtype, 500), 1, 2, 2, goal=lambda report: float(next(worse)))
    run = _trained(at, 3, optimizer=SGD(0.125, momentum=0.5), callbacks=[note], evaluation=evaluation)
    for k, (progress, then) in enumerate(handed):
        yield Same(f"step {k}", _copied(at, (progress.params, progress.optimizer_state)), then)
    moved = [
        a.tobytes() != b.tobytes() for a, b in zip(_leaves(at, handed[0][1][0]), _leaves(at, run.params), strict=True)
    ]
    yield Holds("parameters move", all(moved), "a leaf is after three steps what it was after one")
    yield Same("the best are those that were judged best", _copied(at, run.best_params), handed[0][1][0])
    yield Same("the first parameters", _copied(at, at.params), before)


def _leaves(at: LawContext, tree: Tree) -> list[Any]:
    return at.B.tree_flatten(_copied(at, tree))[0]


def _step(at: LawContext, optimizer: Any, stand: tuple[Tree, Tree], delta: Tree) -> tuple[Tree, Tree]:
    moved: tuple[Tree, Tree] = optimizer.update(at.B, *stand, delta, at.array(np.array(0.125)))
    return moved


@exactly("two trainings with one optimiser do not touch each other", "MS-TRAIN-3")
def optimizers_are_values(at: LawContext) -> Iterator[Claim]:
    deltas = [at.array({"w": np.array([0.5 - k, 1.5, -2.0, 0.25 * k])}) for k in range(6)]
    for name, (optimizer, _) in _rules([], np.zeros(4)).items():
        start = at.array({"w": np.array([1.0, -2.0, 0.5, 3.0])})

        one = alone = start, optimizer.init(at.B, start)
        other = start, optimizer.init(at.B, start)
        for k in range(0, 6, 2):
            alone = _step(at, optimizer, alone, deltas[k])
        for k in range(0, 6, 2):
            one, other = _step(at, optimizer, one, deltas[k]), _step(at, optimizer, other, deltas[k + 1])
        yield Same(name, _copied(at, one), _copied(at, alone))


@exactly(
    "mean_t l(theta_t; Q_t), theta_t = adapt(phi; S_t); phi stays as it is",
    "MS-TRAIN-4",
    "MS-ADAPT-1",
    naming=lambda _: "training/meta-test",
)
def judged_on_queries(at: LawContext) -> Iterator[Claim]:
    before, count = _copied(at, at.params), 4
    source = Quadratics(at.dtype)

    def largest(params: Tree, batch: Tree) -> Any:
        return at.loss(params, batch) + at.B.xp.max(at.B.xp.abs(batch["y"]))

    def test(metric: Any) -> EvaluationReport:
        return meta_test(
            ALGORITHM, at.loss, at.params, source, tasks=count, tasks_per_batch=2, metric=metric, backend=at.B
        )

    report = test(largest)
    tasks = [source.task(i) for i in range(count)]
    y = [float(np.max(np.abs(task.query["y"]))) for task in tasks]
    for when, steps in (("before", 0), ("after", 1)):
        losses = [float(_closed(at, at.scenario.params, task, steps)["query_loss"]) for task in tasks]
        for name, rows in (("loss", losses), ("metric", [a + b for a, b in zip(losses, y, strict=True)])):
            found = getattr(report, f"{name}_{when}")
            mean, width = float(np.mean(rows)), 1.959964 * float(np.std(rows, ddof=1)) / count**0.5
            yield Holds(f"{name} {when}", _near(found.mean, mean, at.dtype), f"{found.mean!r}, expected {mean!r}")
            near = abs(found.half_width - width) < 1e-5 * width
            yield Holds(f"{name} {when}: its interval", near, f"{found.half_width!r}, expected {width!r}")
    yield Holds("tasks", report.tasks == count)
    yield Holds("the same again", test(None).loss_after == report.loss_after, "another figure the second time")
    yield Same("the parameters", _copied(at, at.params), before)
