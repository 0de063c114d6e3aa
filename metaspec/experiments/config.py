"""The settings of a run: what they are called, what they may be, and what they are where nothing is said.

One table serves the command line, TOML files, `run.json` and the help.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_type_hints

from metaspec.checks.arguments import NOT_NEGATIVE, POSITIVE, Domain, checked_integer, checked_number
from metaspec.errors import InvalidArgumentError, InvalidTypeError, nearest
from metaspec.experiments.presets import (
    ALGORITHMS,
    EXPERIMENTS,
    INNER_RULES,
    OPTIMIZERS,
    PAPERS,
    REGRESSIONS,
    SCHEDULES,
    SOLVING,
    defaults,
)

LARGEST_INTEGER = 2**64 - 1
NAMED = {str: "string", bool: "boolean"}


def _setting(
    help: str,
    default: Any = None,
    *,
    least: int | None = None,
    domain: Domain | None = None,
    among: tuple[str, ...] | None = None,
) -> Any:
    text = f"{help}: {', '.join(among)}" if among else help
    return field(default=default, metadata={"help": text, "least": least, "domain": domain, "among": among})


@dataclass(frozen=True)
class Config:
    """The effective settings of a run. What has no meaning for its experiment, algorithm or optimiser is None."""

    experiment: str = _setting("The experiment", among=EXPERIMENTS)
    algorithm: str = _setting("The algorithm", "maml", among=ALGORITHMS)
    backend: str = _setting("The backend; numpy unless one is chosen otherwise", "numpy")
    seed: int = _setting("Of the tasks and of the initial parameters", 0, least=0)
    dtype: str = _setting("Number format", "float32", among=("float32", "float64"))
    paper: str | None = _setting("omniglot: settings as in the paper on this algorithm", among=tuple(PAPERS))
    steps: int = _setting(
        "Outer steps in all; 15000 for functions (5000 with a solver), 500 for pictures, 12000 for all of Omniglot",
        least=0,
    )
    tasks_per_step: int = _setting("Meta-batch size; 25 for regression, else 4, of reptile 5", least=1)
    shots: int = _setting("Support examples (of each class); 10 or 1", least=1)
    queries: int = _setting("Query examples (of each class); 10, 15, or 5 on all of Omniglot", least=1)
    families: str | None = _setting("mixture: families of functions, separated by commas")
    noise: float | None = _setting("mixture: standard deviation of the noise on y", domain=NOT_NEGATIVE)
    data: str | None = _setting("omniglot: the folder with its archives")
    subset: str | None = _setting("omniglot: which of its sets", among=("small", "full", "lake"))
    ways: int | None = _setting("Pictures: classes in a task; 5", least=2)
    filters: int | None = _setting("Pictures: filters of each block; 32 for omniglot, 16 for digits", least=1)
    variants: int | None = _setting(
        "Pictures: images of each class as new classes; 15, of mnist1d 3, of all of Omniglot 0", least=0
    )
    kernel_gain: float | None = _setting(
        "Pictures: by how much longer than Glorot's the kernels start; 1, with a solver 5", domain=POSITIVE
    )
    readout_std: float | None = _setting(
        "Pictures: standard deviation of the read-out's weights at the start; 1, with a solver 0.3", domain=POSITIVE
    )
    inner_lr: float = _setting("Inner learning rate", domain=NOT_NEGATIVE)
    inner_steps: int = _setting("Inner steps", least=0)
    test_inner_steps: int = _setting(
        "Inner steps in evaluations; as many as in training, of reptile 50, digits, mnist1d 20, table 10", least=0
    )
    rule: str | None = _setting("The inner rule; adam is without a mean (b1 = 0)", "descent", among=INNER_RULES)
    inner_batch: int | None = _setting("Examples of each inner step in training; all of them", least=1)
    carry_state: bool | None = _setting(
        "rule adam: its mean squares go on from task to task; so of reptile on pictures", False
    )
    regularization: float | None = _setting("imaml: proximal strength lambda", domain=POSITIVE)
    cg_steps: int | None = _setting("imaml, sigma-imaml, sigma-reptile: conjugate-gradient steps", least=1)
    optimizer: str = _setting("Outer optimiser", "adam", among=OPTIMIZERS)
    outer_lr: float = _setting("Outer learning rate", domain=POSITIVE)
    weight_decay: float | None = _setting("adamw: decoupled weight decay; 0.01", domain=NOT_NEGATIVE)
    schedule: str = _setting("How the outer rate falls to 0 (cosine for functions)", "constant", among=SCHEDULES)
    warmup: int = _setting("Steps in which the outer rate rises at first", 0, least=0)
    clip_norm: float | None = _setting("Shorten the meta-update to this norm", domain=POSITIVE)
    evaluate_every: int = _setting("Judge on validation tasks after so many steps; 0: never", 0, least=0)
    evaluate_tasks: int = _setting("Validation tasks", 100, least=2)
    patience: int | None = _setting("Stop after so many evaluations without a better one", least=1)
    test_tasks: int = _setting("Held-out tasks to judge on at the end", 200, least=2)
    checkpoint_every: int = _setting("Steps between checkpoints; 1000 for functions, 25 for pictures", least=1)
    keep: int = _setting("Checkpoints to keep", 3, least=1)
    prefetch: int = _setting("Batches made ahead on a thread", 1, least=0)

    def saved(self) -> dict[str, Any]:
        """Return the settings that have a meaning for this run, as JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}


FIELDS = {f.name: f for f in fields(Config)}
KINDS = {
    name: next(k for k in (get_args(hint) or (hint,)) if k is not type(None))
    for name, hint in get_type_hints(Config).items()
}


def effective(given: Mapping[str, Any]) -> Config:
    """The settings that `given` and the defaults of its experiment, algorithm and paper come to.

    Raises:
        InvalidArgumentError, InvalidTypeError: An unknown name (the message names the nearest), a value of the wrong
            type or outside of its range, a setting that has no meaning here.
    """
    checked = {name: _checked(name, value) for name, value in given.items()}
    if "experiment" not in checked:
        raise InvalidArgumentError(f"experiment: say which: {', '.join(EXPERIMENTS)}")
    experiment = checked["experiment"]
    algorithm = checked.get("algorithm", checked.get("paper", FIELDS["algorithm"].default))
    everywhere: dict[str, Any] = {name: f.default for name, f in FIELDS.items()} | {"weight_decay": 0.01}
    values = everywhere | defaults(experiment, algorithm, checked) | {"algorithm": algorithm}
    settled = values | checked
    pointless = _without_meaning(experiment, algorithm, settled["optimizer"], settled["rule"])
    for name, whose in pointless.items():
        if name in checked:
            raise InvalidArgumentError(f"{name}: has no meaning for {whose}; leave it out")
    values |= dict.fromkeys(pointless) | checked
    if values["test_inner_steps"] is None:
        values["test_inner_steps"] = values["inner_steps"]
    if values["patience"] is not None and not values["evaluate_every"]:
        raise InvalidArgumentError("patience: needs evaluations to count; give evaluate_every as well")
    if experiment == "omniglot" and values["data"] is None:
        raise InvalidArgumentError(
            "data: omniglot needs the folder that holds its archives (images_background_small1.zip and so on); "
            "metaspec.data.download_omniglot fetches them"
        )
    return Config(**values)


def read_toml(path: Path) -> dict[str, Any]:
    """The settings in a TOML file: one `name = value` a line, no tables.

    Raises:
        InvalidArgumentError: It cannot be read, is no TOML, has a table, or a name is unknown; the message names the
            file.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidArgumentError(f"--config: {path} cannot be read: {error.strerror}") from None
    except RecursionError:
        raise InvalidArgumentError(f"{path}: it is nested too deeply for a file of settings") from None
    except ValueError as error:  # no TOML, no UTF-8, an integer of thousands of digits
        raise InvalidArgumentError(f"{path}: it is no TOML: {error}") from None
    table = next((name for name, value in content.items() if isinstance(value, dict)), None)
    if table is not None:
        raise InvalidArgumentError(f"{path}: [{table}] is a table; expected a line name = value for each setting")
    try:
        return {name: _checked(name, value) for name, value in content.items()}
    except (InvalidArgumentError, InvalidTypeError) as error:
        raise type(error)(f"{path}: {error}") from None


def _checked(name: str, value: Any) -> Any:
    if name not in FIELDS:
        near = get_close_matches(name[:50], FIELDS, n=1, cutoff=0.0)[0]
        raise InvalidArgumentError(f"{name[:50]}: there is no such setting; the nearest is {near}")
    kind, about = KINDS[name], FIELDS[name].metadata
    if kind is int:
        number = checked_integer(value, f"{name}:", about["least"])
        if number > LARGEST_INTEGER:
            raise InvalidArgumentError(f"{name}: must be at most 2^64 - 1, got one of {number.bit_length()} bits")
        return number
    if kind is float:
        return checked_number(value, f"{name}:", *about["domain"])
    if not isinstance(value, kind):
        raise InvalidTypeError(f"{name}: expected a {NAMED[kind]}, got {value!r}")
    if about["among"] and value not in about["among"]:
        raise InvalidArgumentError(
            f"{name}: expected one of {', '.join(about['among'])}, got {value!r}{nearest(value, about['among'])}"
        )
    return value


def _without_meaning(experiment: str, algorithm: str, optimizer: str, rule: str | None) -> dict[str, str]:
    """The settings that nothing here reads, each with what it has no meaning for."""
    only = {
        "omniglot": ("data", "subset", "paper"),
        "mixture": ("families", "noise"),
    }
    pointless = {name: experiment for owner, names in only.items() if owner != experiment for name in names}
    if experiment in REGRESSIONS:
        pointless |= dict.fromkeys(("ways", "filters", "variants", "kernel_gain", "readout_std"), experiment)
    if algorithm != "imaml":
        pointless |= {"regularization": algorithm}
    if algorithm not in SOLVING:
        pointless |= {"cg_steps": algorithm}
    if algorithm in ("metasgd", "mamlpp"):
        pointless |= {"rule": algorithm, "carry_state": algorithm}
    elif rule != "adam":
        pointless |= {"carry_state": f"the rule {rule}"}
    if algorithm in SOLVING:
        pointless |= {"inner_batch": algorithm}
    if optimizer != "adamw":
        pointless |= {"weight_decay": optimizer}
    return pointless
