"""Settings: defaults, TOML, what is refused and how it is said."""

import pytest

import metaspec as ms
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.experiments import presets
from metaspec.experiments.config import Config, effective, read_toml
from metaspec.experiments.setup import (
    adapting_algorithm,
    algorithm_of,
    experiment_of,
    initial_inner_state,
    initial_parameters,
    optimizer_of,
)
from metaspec.training import SGD, Adam, AdamW, Cosine


def test_what_is_said_wins_over_the_experiments_defaults():
    config = effective({"experiment": "omniglot", "data": "x", "algorithm": "reptile", "inner_lr": 1})
    assert (config.inner_lr, config.inner_steps, config.ways, config.filters) == (1.0, 5, 5, 32)
    assert (config.tasks_per_step, config.shots, config.queries, config.checkpoint_every) == (5, 1, 9, 25)
    assert (config.test_inner_steps, effective({"experiment": "sinusoid"}).test_inner_steps) == (50, 1)
    assert config.regularization is config.weight_decay is config.families is None
    assert effective({"experiment": "sinusoid"}).ways is None


@pytest.mark.parametrize("experiment", presets.EXPERIMENTS)
@pytest.mark.parametrize("algorithm", presets.ALGORITHMS)
def test_what_is_saved_comes_to_the_same(experiment, algorithm):
    given = {"experiment": experiment, "algorithm": algorithm, "optimizer": "adamw"}
    if algorithm == "cavia" and experiment not in presets.REGRESSIONS:
        with pytest.raises(InvalidArgumentError, match="cavia joins a context .* give one of sinusoid"):
            effective(given)
        return
    if algorithm in ("metasgd", "mamlpp"):
        with pytest.raises(InvalidArgumentError, match=f"rule: has no meaning for {algorithm}"):
            effective({"experiment": "sinusoid", "algorithm": algorithm, "rule": "adam"})
    config = effective(given | ({"data": "x"} if experiment == "omniglot" else {}))
    assert effective(config.saved()) == config
    assert None not in config.saved().values()


@pytest.mark.parametrize(("ways", "inner_steps", "meta_batch"), [(5, 1, 32), (20, 5, 16)])
def test_the_maml_papers_rate_is_that_of_a_sum_over_classes(ways, inner_steps, meta_batch):
    given = {"experiment": "omniglot", "data": "x", "paper": "maml", "ways": ways}
    config = effective(given)
    assert config.inner_lr == pytest.approx({5: 0.4, 20: 0.1}[ways] * ways)
    assert (config.subset, config.filters, config.steps, config.outer_lr) == ("full", 64, 60_000, 1e-3)
    assert (config.inner_steps, config.tasks_per_step, config.queries) == (inner_steps, meta_batch, 1)
    assert effective(given | {"algorithm": "fomaml", "shots": 5}).queries == 5
    with pytest.raises(InvalidArgumentError, match="paper: 'maml' has settings for maml, fomaml, anil and tasks of 5"):
        effective(given | {"algorithm": "imaml"})


def test_reptile_as_its_authors_have_it_adapts_on_the_whole_support_set_at_meta_test():
    config = effective({"experiment": "omniglot", "data": "x", "paper": "reptile"})
    inner = ms.Adam(1e-3, 5, b1=0.0)
    assert algorithm_of(config) == ms.Reptile(inner, minibatches=ms.Minibatches(10))
    assert adapting_algorithm(config) == ms.Reptile(ms.Adam(1e-3, 50, b1=0.0))
    assert optimizer_of(config).rate(50_000) == pytest.approx(0.5)


def test_every_setting_is_in_the_table_of_help():
    assert all(field.metadata["help"] for field in Config.__dataclass_fields__.values())


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, InvalidArgumentError, "experiment: say which: sinusoid, mixture, table, omniglot, digits, mnist1d"),
        ({"experiment": "sinus"}, InvalidArgumentError, "experiment: expected one of sinusoid, .*got 'sinus'"),
        ({"inner_rl": 1}, InvalidArgumentError, "inner_rl: there is no such setting; the nearest is inner_lr"),
        ({"steps": 10.5}, InvalidTypeError, "steps: must be an integer >= 0, got 10.5"),
        ({"steps": True}, InvalidTypeError, "steps: must be an integer >= 0, got True"),
        ({"steps": -1}, InvalidArgumentError, "steps: must be >= 0, got -1"),
        ({"outer_lr": 0}, InvalidArgumentError, "outer_lr: must be a finite number > 0, got 0"),
        ({"inner_lr": "fast"}, InvalidArgumentError, "inner_lr: must be a finite number >= 0, got 'fast'"),
        ({"dtype": 32}, InvalidTypeError, "dtype: expected a string, got 32"),
        ({"schedule": "cos"}, InvalidArgumentError, "schedule: expected one of constant, linear, cosine, got 'cos'"),
        ({"ways": 5}, InvalidArgumentError, "ways: has no meaning for sinusoid; leave it out"),
        ({"cg_steps": 5}, InvalidArgumentError, "cg_steps: has no meaning for maml; leave it out"),
        ({"weight_decay": 0.1}, InvalidArgumentError, "weight_decay: has no meaning for adam; leave it out"),
        ({"carry_state": True}, InvalidArgumentError, "carry_state: has no meaning for the rule descent; leave it out"),
        ({"rule": "adam", "carry_state": 1}, InvalidTypeError, "carry_state: expected a boolean, got 1"),
        ({"patience": 3}, InvalidArgumentError, "patience: needs evaluations to count; give evaluate_every as well"),
        ({"experiment": "omniglot"}, InvalidArgumentError, "data: omniglot needs the folder that holds its archives"),
    ],
)
def test_what_is_wrong_is_named(given, error, message):
    with pytest.raises(error, match=message):
        effective(({"experiment": "sinusoid"} if given else {}) | given)


def test_toml(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('experiment = "digits"\nsteps = 20  # few\nclip_norm = 10\n')
    assert read_toml(file) == {"experiment": "digits", "steps": 20, "clip_norm": 10.0}
    for content, error, message in (
        ("steps = ", InvalidArgumentError, "run.toml: it is no TOML"),
        ("stepps = 5", InvalidArgumentError, "run.toml: stepps: there is no such setting; the nearest is steps"),
        ("[train]\nsteps = 5", InvalidArgumentError, r"run.toml: \[train\] is a table; expected a line name = value"),
        ('steps = "5"', InvalidTypeError, "run.toml: steps: must be an integer >= 0, got '5'"),
    ):
        file.write_text(content)
        with pytest.raises(error, match=message):
            read_toml(file)
    with pytest.raises(InvalidArgumentError, match="--config: .*gone.toml cannot be read: No such file"):
        read_toml(tmp_path / "gone.toml")


def test_optimizers_by_name():
    def make(**given):
        return optimizer_of(effective({"experiment": "sinusoid", "outer_lr": 0.1, "steps": 100} | given))

    assert make() == Adam(Cosine(0.1, 100))
    assert make(schedule="constant") == Adam(0.1)
    assert make(optimizer="adamw", weight_decay=0.3, schedule="constant") == AdamW(0.1, weight_decay=0.3)
    assert make(optimizer="nesterov", schedule="constant") == SGD(0.1, 0.9, nesterov=True)
    falling = make(optimizer="sgd", schedule="cosine", warmup=10)
    assert [falling.rate(step) for step in (9, 10, 55, 100)] == pytest.approx([0.1 * 10 / 11, 0.1, 0.05, 0.0])
    straight = make(optimizer="momentum", schedule="linear")
    assert [straight.rate(step) for step in (0, 25, 100)] == pytest.approx([0.1, 0.075, 0.0])


@pytest.mark.parametrize("algorithm", presets.ALGORITHMS)
def test_algorithms_by_name(algorithm):
    given = {"experiment": "table", "algorithm": algorithm, "inner_lr": 0.25}
    made = algorithm_of(effective(given), inner_steps=7)
    kinds = {"fomaml": ms.FOMAML, "reptile": ms.Reptile, "imaml": ms.IMAML, "sigma-imaml": ms.IMAML}
    assert type(made) is {**kinds, "sigma-reptile": ms.SigmaReptile}.get(algorithm, ms.MAML)
    lr, learned = made.inner.inputs["lr"], {"metasgd": "entry", "mamlpp": "leaf"}
    assert (lr if algorithm not in learned else lr.value, made.inner.steps) == (0.25, 7)
    assert getattr(lr, "per", None) == learned.get(algorithm)
    if algorithm in ("anil", "boil"):
        assert list(made.adapt) == [f"{'!' * (algorithm == 'boil')}{leaf}" for leaf in ("w2", "b2")]
    if algorithm == "cavia":
        assert made.adapt == "context"
    if algorithm == "sigma-maml":
        assert made.inner.inputs["sigma"].per == "leaf"
    if algorithm == "sigma-imaml":
        assert made.regularization == ms.Sigma(ms.Learned(1.0, per="leaf", positive=True))
    if algorithm == "sigma-reptile":
        assert made.sigma == ms.Learned(1.0, per="leaf", positive=True)
    if algorithm == "imaml":
        assert (made.regularization, made.solver.steps) == (2.0, 5)


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax", "tensorflow"])
def test_a_carried_state_begins_as_arrays_of_the_run_s_backend(backend):
    pytest.importorskip(backend)
    settings = effective({"experiment": "sinusoid", "rule": "adam", "carry_state": True, "backend": backend})
    start = initial_parameters(settings, experiment_of(settings))
    B = ms.get_backend(backend)
    state = initial_inner_state(settings, start, B)
    leaves = B.tree_flatten(state)[0]
    assert leaves
    assert all(B.is_array(leaf) for leaf in leaves)
    if backend != "numpy":
        with pytest.raises(ms.errors.BackendMismatchError, match=r"params.*this is an array of 'numpy'"):
            ms.initial_state(algorithm_of(settings), start, backend=backend)
