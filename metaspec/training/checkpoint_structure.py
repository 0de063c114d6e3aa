"""What the two files of a checkpoint may say. A digest shows damage; a forged checkpoint has the right digest."""

import re
from collections.abc import Mapping
from typing import Any

import safetensors.numpy

from metaspec.training.evaluation import EvaluationReport, read_number
from metaspec.training.run import Judged

PARTS = ("history", "params", "optimizer", "best", "inner")
COLUMNS = ("query_loss", "seconds")


def checked_description(description: Mapping[str, Any]) -> None:
    """Checks the types and ranges of all that is read from `state.json`.

    Raises:
        ValueError: Saying which entry is wrong.
    """
    steps = _integer(description, "steps")
    for name in ("metaspec", "backend"):
        _of_type(description, name, str)
    versions = _of_type(description, "versions", dict)
    if not all(isinstance(version, str) for version in versions.values()):
        raise ValueError("versions: expected text")
    if "setup" not in description:
        raise ValueError("setup is missing")
    seen = {judged.steps for judged in parsed_evaluations(description, steps)}
    best = description.get("best", "missing")
    if best is not None and (isinstance(best, bool) or not isinstance(best, int) or best not in seen):
        raise ValueError(f"best: expected the number of steps of an evaluation, or null, got {best!r:.50}")
    files = _of_type(description, "arrays", dict)
    _integer(files, "bytes")
    if not re.fullmatch("[0-9a-f]{64}", _of_type(files, "sha256", str)):
        raise ValueError("sha256: expected 64 hexadecimal digits")


def parsed_evaluations(description: Mapping[str, Any], steps: int) -> tuple[Judged, ...]:
    """The evaluations of a run of so many steps.

    Raises:
        ValueError: Saying which is wrong.
    """
    found = []
    for i, evaluation in enumerate(_of_type(description, "evaluations", list)):
        try:
            found.append(_judged(evaluation, steps))
        except ValueError as error:
            raise ValueError(f"evaluations[{i}]: {error}") from None
    return tuple(found)


def read_arrays(content: bytes, description: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of `state.safetensors`, those that the description asks for and no others.

    Raises:
        ValueError: The bytes are not in safetensors' format, or the arrays are not those of such a run.
    """
    try:
        arrays = safetensors.numpy.load(content)
    except Exception as error:  # safetensors' own error, and NumPy's where it has no such format or shape
        raise ValueError(f"it is not in safetensors' format: {error!s:.200}") from None
    steps, columns = description["steps"], {f"history/{name}" for name in COLUMNS}
    parts = {name.partition("/")[0] for name in arrays.keys() - columns}
    strange = parts - set(PARTS[1:]) | ({"best"} & parts if description["best"] is None else set())
    if strange:
        raise ValueError(f"its leaves are not those of a run: {', '.join(sorted(strange))[:100]!r} is not expected")
    for name in columns:
        column = arrays.get(name)
        if column is None or column.dtype != "float64" or column.shape != (steps,):
            found = "nothing" if column is None else f"{column.dtype} {list(column.shape)}"
            raise ValueError(f"{name}: expected float64 [{steps}], one figure a step, got {found}")
    return arrays


def _judged(evaluation: Any, steps: int) -> Judged:
    if not isinstance(evaluation, list) or len(evaluation) != 3:
        raise ValueError("expected [steps, goal, report]")
    taken, goal, report = evaluation
    if isinstance(taken, bool) or not isinstance(taken, int) or not 0 <= taken <= steps:
        raise ValueError(f"expected a number of steps from 0 to {steps}, got {taken!r:.50}")
    return Judged(taken, read_number(goal, "goal"), EvaluationReport.from_dict(report))


def _of_type(values: Mapping[str, Any], name: str, kind: type) -> Any:
    if not isinstance(values.get(name), kind):
        raise ValueError(f"{name}: expected {kind.__name__}, got {type(values.get(name)).__name__}")
    return values[name]


def _integer(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name}: expected an integer >= 0, got {value!r:.50}")
    return value
