"""One checkpoint: a folder with the arrays of a Run (state.safetensors) and all else (state.json).

Each file is checked by a digest in state.json, which has a digest of its own, so what is read is what was written. A
checkpoint is the same on every backend: leaves go by name, in their own dtype, and bfloat16, which safetensors' NumPy
flavour cannot read, is widened to float32 and narrowed again, which is exact.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import safetensors.numpy

import metaspec
from metaspec.atomic_files import atomic_folder, atomic_writer
from metaspec.backend.arrays import asarray, computing
from metaspec.backend.protocol import Backend
from metaspec.errors import DtypeNotHonouredError, InvalidArgumentError
from metaspec.reading import LARGEST_JSON, parsed_json, read_regular
from metaspec.task import Tree
from metaspec.training.checkpoint_structure import checked_description, parsed_evaluations, read_arrays
from metaspec.training.errors import CheckpointError
from metaspec.training.run import Best, Run, StepRecord

FORMAT = "metaspec checkpoint"
VERSION = 1
ARRAYS, DESCRIPTION = "state.safetensors", "state.json"
FILES = {ARRAYS, DESCRIPTION}
NAME = re.compile(r"step-([0-9]{8,})")
PART = re.compile(r"""\['([^'\\]*)'\]|\[(\d+)\]|\.(\w+)""")


@dataclass(frozen=True)
class Stored:
    """A checkpoint as read: whole, but not yet fitted to anybody's parameters."""

    path: Path
    arrays: Mapping[str, Any] = field(repr=False)
    description: Mapping[str, Any] = field(repr=False)


def name_after(steps: int) -> str:
    """The name that `Checkpoints` gives to the state after so many steps."""
    return f"step-{steps:08}"


def write(path: Path, B: Backend, run: Run, setup: Any = None) -> None:
    """Write a run as the folder `path`, all of it or nothing.

    Raises:
        DtypeNotHonouredError: A leaf has a format that safetensors does not have.
        InvalidArgumentError: It is no run that could be read again: an evaluation beyond its last step, say.
    """
    arrays: dict[str, Any] = {
        "history/query_loss": numpy.array([record.query_loss for record in run.history], "float64"),
        "history/seconds": numpy.array([record.seconds for record in run.history], "float64"),
    }
    for part, tree in _parts(run).items():
        arrays |= {f"{part}/{name}": leaf for name, leaf in named_leaves(B, tree).items()}
    content = packed(arrays)
    description = {
        "format": FORMAT,
        "version": VERSION,
        "metaspec": metaspec.__version__,
        "backend": B.name,
        "versions": dict(B.versions()),
        "steps": run.steps,
        "evaluations": [[steps, goal, report.as_dict()] for steps, goal, report in run.evaluations],
        "best": None if run.best is None else run.best.judged.steps,
        "setup": setup,
        "arrays": {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()},
    }
    try:
        checked_description(description)
    except ValueError as error:
        raise InvalidArgumentError(f"checkpoint: run: {error}") from None
    description["digest"] = _digest(description)
    with atomic_folder(path) as folder:
        with atomic_writer(folder / ARRAYS) as stream:
            stream.write(content)
        with atomic_writer(folder / DESCRIPTION) as stream:
            stream.write(json.dumps(description, indent=1).encode())


def read(path: Path) -> Stored:
    """Read a checkpoint and see that it is whole.

    Raises:
        CheckpointError: It is not; the message names the file and the reason.
    """
    description = read_description(path)
    file, expected = path / ARRAYS, description["arrays"]
    try:
        content = read_regular(file, expected["bytes"])
    except OSError as error:
        raise CheckpointError(f"{file}: {error.strerror}: damaged or foreign") from None
    if len(content) != expected["bytes"]:
        raise CheckpointError(f"{file}: {len(content)} bytes, expected {expected['bytes']}: truncated or foreign")
    if hashlib.sha256(content).hexdigest() != expected["sha256"]:
        raise CheckpointError(f"{file}: its sha256 is not the one in {DESCRIPTION}: damaged or foreign")
    try:
        return Stored(path, read_arrays(content, description), description)
    except ValueError as error:
        raise CheckpointError(f"{file}: {error}: foreign") from None


def restore(stored: Stored, B: Backend, params: Tree, optimizer: Any = None, inner_state: Tree = None) -> Run:
    """The run of a checkpoint as arrays of `B`.

    Args:
        stored: What `read` gave.
        B: The backend.
        params: Parameters of the model: their structure, shapes and dtypes must be those of the checkpoint.
        optimizer: The outer optimiser; without one `optimizer_state` is left out (None).
        inner_state: What the inner rule's state is like; without it that is left out (None).

    Raises:
        CheckpointError: The checkpoint is of other parameters or of another optimiser.
    """
    with computing(B, params):
        like = asarray(params, backend=B)
        state = None if optimizer is None else _fitted(stored, B, "optimizer", optimizer.init(B, like))
        described = stored.description
        inner = None if inner_state is None else _fitted(stored, B, "inner", inner_state)
        evaluations = parsed_evaluations(described, described["steps"])
        best = None
        if described["best"] is not None:
            judged = next(judged for judged in evaluations if judged.steps == described["best"])
            best = Best(judged, _fitted(stored, B, "best", like))
        columns = (stored.arrays[f"history/{name}"].tolist() for name in ("query_loss", "seconds"))
        history = tuple(StepRecord(i, *row) for i, row in enumerate(zip(*columns, strict=True)))
        return Run(_fitted(stored, B, "params", like), state, history, evaluations, best, inner)


def named_leaves(B: Backend, tree: Tree) -> dict[str, Any]:
    """The leaves as NumPy arrays; a leaf's name is its path, "layers/0/w", the same on every backend."""
    leaves = (leaf if B.is_array(leaf) else B.asarray(leaf) for leaf in B.tree_flatten(tree)[0])
    return dict(zip(_names(B, tree), (_plain(B, leaf) for leaf in leaves), strict=True))


def packed(arrays: Mapping[str, Any]) -> bytes:
    """Named arrays in safetensors' format.

    Raises:
        DtypeNotHonouredError: One has a format that safetensors does not have.
    """
    for name, array in arrays.items():
        if array.dtype.kind == "f" and array.dtype.itemsize > 8:
            raise DtypeNotHonouredError(
                f"checkpoint: {name} is {array.dtype}, and safetensors' widest format is float64; train in float64"
            )
    return safetensors.numpy.save(dict(arrays))


def _parts(run: Run) -> dict[str, Tree]:
    parts = {"params": run.params, "optimizer": run.optimizer_state, "inner": run.inner_state}
    return parts if run.best is None else parts | {"best": run.best.params}


def _names(B: Backend, tree: Tree) -> list[str]:
    paths = B.tree_paths(tree)
    plain = ["/".join("".join(part) for part in PART.findall(path)) if _regular(path) else path for path in paths]
    return plain if len(set(plain)) == len(paths) else paths


def _regular(path: str) -> bool:
    return PART.sub("", path) == ""


def _plain(B: Backend, leaf: Any) -> Any:
    array = B.to_numpy(B.asarray(leaf, dtype="float32") if B.dtype_name(leaf) == "bfloat16" else leaf)
    return numpy.array(array, order="C")  # safetensors writes a transposed array's memory as it lies


def _fitted(stored: Stored, B: Backend, part: str, template: Tree) -> Tree:
    """The leaves of a part in the template's structure, with its shapes and dtypes."""
    kept = {name.partition("/")[2]: leaf for name, leaf in stored.arrays.items() if name.startswith(f"{part}/")}
    names, (leaves, structure) = _names(B, template), B.tree_flatten(template)
    if set(kept) != set(names):
        missing, strange = sorted(set(names) - set(kept)), sorted(set(kept) - set(names))
        raise CheckpointError(
            f"{stored.path / ARRAYS}: the leaves of its {part} are others: "
            f"missing {', '.join(missing[:5]) or 'nothing'}; not expected {', '.join(strange[:5]) or 'nothing'}"
        )
    return B.tree_unflatten(
        structure,
        [_fit(stored, B, f"{part}/{name}", kept[name], leaf) for name, leaf in zip(names, leaves, strict=True)],
    )


def _fit(stored: Stored, B: Backend, name: str, array: Any, like: Any) -> Any:
    like = like if B.is_array(like) else B.asarray(like)
    dtype = B.dtype_name(like)
    if array.shape != tuple(like.shape) or array.dtype.name != ("float32" if dtype == "bfloat16" else dtype):
        raise CheckpointError(
            f"{stored.path / ARRAYS}: {name} is {array.dtype.name} {list(array.shape)}, expected {dtype} "
            f"{list(like.shape)}: it belongs to another model"
        )
    return B.asarray(array, dtype=dtype)


def read_description(path: Path) -> dict[str, Any]:
    """What `state.json` says of the checkpoint `path`; its arrays are not looked at.

    Raises:
        CheckpointError: It is damaged, or not of this checkpoint; the message names the file and the reason.
    """
    file = path / DESCRIPTION
    try:
        description = parsed_json(read_regular(file, LARGEST_JSON))
    except OSError as error:
        raise CheckpointError(f"{file}: {error.strerror}: there is no checkpoint in {file.parent}") from None
    except ValueError as error:
        raise CheckpointError(f"{file}: it is no JSON ({error}): truncated or foreign") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise CheckpointError(f"{file}: it is not of a checkpoint of metaspec")
    version = description.get("version")
    if isinstance(version, bool) or version != VERSION:
        raise CheckpointError(f"{file}: it has format {version!r:.50}, this version of metaspec reads format {VERSION}")
    if description.pop("digest", None) != _digest(description):
        raise CheckpointError(f"{file}: its contents are not what was written: damaged")
    try:
        checked_description(description)
    except ValueError as error:
        raise CheckpointError(f"{file}: {error}: foreign") from None
    if NAME.fullmatch(path.name) and path.name != name_after(description["steps"]):
        raise CheckpointError(
            f"{file}: it is the state after {description['steps']} steps, in a folder called {path.name}: renamed or "
            f"copied; call it {name_after(description['steps'])}"
        )
    return description


def _digest(description: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
