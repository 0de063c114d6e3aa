"""Settings of each experiment and algorithm where nothing else is said, and those of the papers on Omniglot.

Inner rates are those of a mean loss; the MAML authors' Omniglot loss is `ways` times ours (see metaspec.nn.losses).
Sizes are chosen so that two CPU cores learn something in minutes, which the papers' 60,000 iterations do not.
"""

from typing import Any

from metaspec.errors import InvalidArgumentError

EXPERIMENTS = ("sinusoid", "mixture", "table", "omniglot", "digits", "mnist1d")
REGRESSIONS = ("sinusoid", "mixture", "table")
ALGORITHMS = (
    *("maml", "fomaml", "reptile", "imaml", "anil", "boil", "metasgd", "mamlpp", "cavia"),
    *("sigma-maml", "sigma-imaml", "sigma-reptile"),
)
SOLVING = ("imaml", "sigma-imaml", "sigma-reptile")
"""Algorithms whose meta-gradient is the solution of a linear system."""
OPTIMIZERS = ("adam", "adamw", "sgd", "momentum", "nesterov")
SCHEDULES = ("constant", "linear", "cosine")
INNER_RULES = ("descent", "adam")

Settings = dict[str, Any]

_ONE_STEP: Settings = {"inner_lr": 0.01, "inner_steps": 1, "outer_lr": 2e-3}
_FIVE_STEPS: Settings = _ONE_STEP | {"inner_steps": 5}
# Nothing in iMAML's update keeps the curvature below 2 / inner_lr, beyond which the inner loop diverges: training ends
# before.
_IMPLICIT: Settings = {
    "inner_lr": 5e-4,
    "inner_steps": 32,
    "outer_lr": 1e-3,
    "cg_steps": 5,
    "clip_norm": 1.0,
    "steps": 5000,
}
_FUNCTIONS: dict[str, Settings] = {
    "maml": _ONE_STEP,
    "fomaml": _ONE_STEP,
    "reptile": _FIVE_STEPS,
    "anil": _FIVE_STEPS,
    "boil": _ONE_STEP,
    "metasgd": _ONE_STEP,
    "mamlpp": _FIVE_STEPS,
    # As its authors have it, but for Adam's rate: a context alone takes steps that weights would not bear.
    "cavia": {"inner_lr": 1.0, "inner_steps": 2, "outer_lr": 2e-3},
    "sigma-maml": _FIVE_STEPS,
    "sigma-imaml": _IMPLICIT,
    "sigma-reptile": _IMPLICIT,
    "imaml": _IMPLICIT | {"regularization": 2.0},
}
_FAST: Settings = {"inner_lr": 0.4, "inner_steps": 1, "outer_lr": 3e-3}
_SLOW: Settings = {"inner_lr": 0.1, "inner_steps": 5, "outer_lr": 3e-3}
# As its authors have it: ten examples a class, Adam without a mean on minibatches of ten, the update taken as it is,
# more steps at meta-test. A read-out as large as the others' could not be moved by so few small steps. The rate is ten
# times theirs: after 750 steps on all of Omniglot 87 % (5-way 1-shot, 150 tasks, +- 2) for 69 %, and 82 % at three
# times; there, where each task has its own mean squares, 71 %.
_REPTILE: Settings = {
    "rule": "adam",
    "inner_lr": 1e-2,
    "inner_steps": 5,
    "inner_batch": 10,
    "carry_state": True,
    "test_inner_steps": 50,
    "tasks_per_step": 5,
    "optimizer": "sgd",
    "outer_lr": 1.0,
    "schedule": "linear",
    "readout_std": 0.2,
}
# From the usual start the Hessian's eigenvalues are some +-400: no proximal term outweighs that, and the inner loop
# diverges. From this one they are a few units.
_GENTLE: Settings = {
    "inner_lr": 0.3,
    "inner_steps": 10,
    "outer_lr": 3e-3,
    "cg_steps": 3,
    "clip_norm": 1.0,
    "kernel_gain": 5.0,
    "readout_std": 0.3,
}
_PICTURES: dict[str, Settings] = {
    "maml": _FAST,
    "fomaml": _FAST,
    "reptile": _REPTILE,
    "anil": _FAST | {"inner_steps": 5},
    "boil": _FAST,
    "metasgd": _FAST,
    "mamlpp": _SLOW,
    "sigma-maml": _SLOW,
    "sigma-imaml": _GENTLE,
    "sigma-reptile": _GENTLE,
    "imaml": _GENTLE | {"regularization": 0.1},
}
HEADS = {name: ("w2", "b2") if name in REGRESSIONS else ("w", "b") for name in EXPERIMENTS}
"""The read-out's leaves of each experiment's network."""

_regression: Settings = {
    "steps": 15000,
    "tasks_per_step": 25,
    "shots": 10,
    "queries": 10,
    "schedule": "cosine",
    "checkpoint_every": 1000,
}
_classification: Settings = {
    "steps": 500,
    "tasks_per_step": 4,
    "shots": 1,
    "queries": 15,
    "checkpoint_every": 25,
    "ways": 5,
    "variants": 0,
    "kernel_gain": 1.0,
    "readout_std": 1.0,
}
_FEW_CLASSES: Settings = {"filters": 16, "queries": 5, "schedule": "linear", "test_inner_steps": 20}
_SIZES: dict[str, Settings] = {
    "sinusoid": _regression,
    "mixture": _regression | {"families": "sinusoid,linear,quadratic,absolute,tanh", "noise": 0.0},
    # Columns have heavy tails: inner steps five times as large diverge.
    "table": _regression | {"steps": 1000, "test_inner_steps": 10, "clip_norm": 10.0, "checkpoint_every": 100},
    "omniglot": _classification | {"filters": 32, "subset": "small", "variants": 15},
    # Five classes teach little, and one step less than more of them at meta-test (docs/results.md).
    "digits": _classification | _FEW_CLASSES | {"variants": 15},
    "mnist1d": _classification | _FEW_CLASSES | {"variants": 3, "steps": 1000},
}
# With 1,200 characters to learn from, classes need not be made; fewer queries are more steps in the same time.
_FULL: Settings = {
    "steps": 12000,
    "queries": 5,
    "variants": 0,
    "schedule": "linear",
    "checkpoint_every": 500,
    "keep": 30,
}
# Finn, Abbeel, Levine 2017, section 5.2 and appendix A.1: inner rates of 0.4 (5-way) and 0.1 (20-way) on a loss that is
# `ways` times the mean, 2.0 here. Their query sets have as many examples as their support sets.
_MAML_PAPER: dict[int, Settings] = {
    5: {"inner_lr": 2.0, "inner_steps": 1, "test_inner_steps": 3, "tasks_per_step": 32, "outer_lr": 1e-3},
    20: {"inner_lr": 2.0, "inner_steps": 5, "test_inner_steps": 5, "tasks_per_step": 16, "outer_lr": 1e-3},
}
# Nichol, Achiam, Schulman 2018: the commands in their repository's README (github.com/openai/supervised-reptile).
_REPTILE_PAPER: dict[int, Settings] = {
    5: _REPTILE | {"inner_lr": 1e-3, "steps": 100_000, "readout_std": 1.0},
    20: _REPTILE | {"inner_lr": 5e-4, "inner_steps": 10, "inner_batch": 20, "steps": 200_000, "readout_std": 1.0},
}
PAPERS: dict[str, tuple[tuple[str, ...], dict[int, Settings]]] = {
    "maml": (("maml", "fomaml", "anil"), _MAML_PAPER),
    "reptile": (("reptile",), _REPTILE_PAPER),
}
"""Name of a paper -> (the algorithms that its settings are for, number of ways -> settings)."""
_ALL_PAPERS: Settings = {"subset": "full", "filters": 64, "steps": 60_000, "schedule": "constant"}


def defaults(experiment: str, algorithm: str, given: Settings) -> Settings:
    """Return the settings of an experiment and algorithm, as far as they differ from those of every run.

    Args:
        experiment: One of EXPERIMENTS.
        algorithm: One of ALGORITHMS.
        given: What was said; `subset`, `paper`, `ways` and `shots` of it make a difference here.

    Raises:
        InvalidArgumentError: The algorithm is not for this experiment, or the paper has no settings for it or for so
            many ways.
    """
    if algorithm == "cavia" and experiment not in REGRESSIONS:
        raise InvalidArgumentError(
            f"algorithm: cavia joins a context with the inputs of a function, which {experiment} is not; give one of "
            f"{', '.join(REGRESSIONS)}, or another algorithm"
        )
    own, paper = (_FUNCTIONS if experiment in REGRESSIONS else _PICTURES)[algorithm], given.get("paper")
    whole_set = paper is not None or given.get("subset") in ("full", "lake")
    settled = _SIZES[experiment] | (_FULL if whole_set else {}) | own
    asked = settled | given
    if paper is not None:
        algorithms, sizes = PAPERS[paper]
        ways = asked["ways"]
        if algorithm not in algorithms or ways not in sizes:
            raise InvalidArgumentError(
                f"paper: {paper!r} has settings for {', '.join(algorithms)} and tasks of "
                f"{' or '.join(map(str, sizes))} ways, not for {algorithm} and {ways}; leave it out"
            )
        settled |= _ALL_PAPERS | {"queries": asked["shots"]} | sizes[ways]
    if algorithm == "reptile" and experiment not in REGRESSIONS:
        settled |= {"queries": max(1, 10 - asked["shots"]), "inner_batch": max(settled["inner_batch"], asked["ways"])}
    return settled
