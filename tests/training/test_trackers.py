"""Figures that are sent to services, by their libraries' offline modes, against the history of the run."""

import sys
from functools import partial

import pytest

import metaspec as ms
from metaspec.data import Sinusoid
from metaspec.nn import MLP, tanh
from metaspec.training import Adam, Evaluation, MLflow, WandB, meta_train

NET = MLP((1, 4, 1), activation=tanh)
ALGO = ms.FOMAML(ms.GradientDescent(0.05, 1))
PLAN = Evaluation(Sinusoid(stream="test"), every=2, tasks=2, tasks_per_batch=2)
TRAIN = partial(
    meta_train,
    *(ALGO, NET.loss, NET.init(0), Sinusoid()),
    optimizer=Adam(0.02),
    tasks_per_step=2,
    backend="numpy",
    evaluation=PLAN,
)


def test_mlflow_has_every_figure_of_a_training_that_goes_on(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy", reason="MLflow's local store")
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    figures = MLflow("trial", store, params={"lr": 0.05})
    run = TRAIN(steps=3, callbacks=[figures], resume=TRAIN(steps=2))
    client = mlflow.MlflowClient(store)
    (kept,) = client.search_runs([client.get_experiment_by_name("trial").experiment_id])
    losses = client.get_metric_history(kept.info.run_id, "train/query_loss")
    assert [(m.step, m.value) for m in losses] == [(r.step + 1, r.query_loss) for r in run.history]
    (judged,) = client.get_metric_history(kept.info.run_id, "evaluation/loss_after")
    assert (judged.step, judged.value) == (2, run.evaluations[0].report.loss_after.mean)
    assert (kept.data.params, kept.info.status) == ({"lr": "0.05"}, "FINISHED")
    assert mlflow.active_run() is None


def test_wandb_has_every_figure_of_a_training_that_goes_on(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    logged = []
    opened = wandb.init

    def watched(**options):
        run = opened(**options)
        log = run.log
        monkeypatch.setattr(run, "log", lambda figures, step: (logged.append((step, figures)), log(figures, step=step)))
        return run

    monkeypatch.setattr(wandb, "init", watched)
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = TRAIN(steps=3, callbacks=[WandB("trial", "offline", tmp_path)], resume=TRAIN(steps=2))
    losses = [(step, figures["train/query_loss"]) for step, figures in logged if "train/query_loss" in figures]
    assert losses == [(record.step + 1, record.query_loss) for record in run.history]
    assert (2, run.evaluations[0].report.loss_after.mean) in [(s, f.get("evaluation/loss_after")) for s, f in logged]
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))


@pytest.mark.parametrize(("callback", "library"), [(WandB, "wandb"), (MLflow, "mlflow")])
def test_what_to_install_is_said(callback, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        ImportError, match=rf"{callback.__name__}: needs {library}.*pip install 'metaspec\[{library}\]'"
    ):
        callback("trial")
