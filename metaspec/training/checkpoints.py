"""A folder of checkpoints: the newest that is whole is what a training goes on from."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaspec.atomic_files import checked_path, discard_folder, sole_user, sweep
from metaspec.backend.protocol import Backend
from metaspec.backend.selection import resolve
from metaspec.checks.arguments import settle
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.inner.continued import RuleState
from metaspec.task import Tree
from metaspec.training import checkpoint
from metaspec.training.errors import CheckpointError
from metaspec.training.run import Run

LISTED = 5  # damaged ones that a message lists


@dataclass(frozen=True)
class Checkpoints:
    """Where `meta_train` keeps checkpoints, how often it writes one, and how many it keeps.

    Each holds the best parameters beside the last ones, so that pruning never loses them.

    Attributes:
        folder: Made if it is not there. One training's alone.
        every: Outer steps between two checkpoints, >= 1; the last step gets one in any case.
        keep: How many of the newest stay, >= 1.

    Raises:
        InvalidArgumentError, InvalidTypeError: `every` or `keep` is no integer >= 1.

    Example:
        >>> from metaspec import data, nn, training
        >>> import metaspec as ms
        >>> net, source = nn.sinusoid_mlp(), data.Sinusoid()
        >>> algo, params = ms.FOMAML(ms.GradientDescent(lr=0.01, steps=1)), net.init(seed=0)
        >>> checkpoints = training.Checkpoints("checkpoints", every=2)
        >>> run = ms.meta_train(algo, net.loss, params, source, steps=4, checkpoints=checkpoints, backend="numpy")
        >>> sorted(path.name for path in checkpoints.folder.iterdir())
        ['step-00000002', 'step-00000004']
    """

    folder: Path
    every: int = 100
    keep: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", checked_path(self.folder, "Checkpoints: folder"))
        settle(self, every=1, keep=1)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for this process, and remove what killed processes left unfinished in it.

        Raises:
            InvalidArgumentError: Another process holds it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArgumentError(
                f"Checkpoints: folder: {self.folder} is no folder and cannot be made one: {error.strerror}"
            ) from None
        with sole_user(self.folder):
            sweep(self.folder, "step-*")
            yield

    def save(self, B: Backend, run: Run, setup: Any = None) -> Path:
        """Write a run, whole or not at all, and remove what is older than the newest `keep` that are whole.

        Raises:
            CheckpointError: It cannot be written: the disk is full, say. What was there before stays.
        """
        path = self.folder / checkpoint.name_after(run.steps)
        try:
            checkpoint.write(path, B, run, setup)
        except OSError as error:
            raise CheckpointError(
                f"{error.filename or path}: {error.strerror or error}: the state after {run.steps} steps is not saved; "
                f"what is in {self.folder} from before stays. Make room for it, and go on by the same call, or by "
                "metaspec train --resume --out with the run's folder"
            ) from error
        try:
            self._prune(run.steps)
        except OSError as error:
            warnings.warn(
                f"{error.filename or self.folder}: {error.strerror}: old checkpoints stay", RuntimeWarning, stacklevel=2
            )
        return path

    def _prune(self, steps: int) -> None:
        """Remove old checkpoints. Those of more steps were damaged, or the training would have gone on from them."""
        kept = 0
        for path in newest_first(self.folder):
            if int(path.name.removeprefix("step-")) > steps:
                continue
            if kept == self.keep:
                discard_folder(path)
                continue
            with suppress(CheckpointError):  # a damaged one is none of the newest `keep`
                checkpoint.read_description(path)
                kept += 1

    def newest(self) -> checkpoint.Stored | None:
        """The newest checkpoint that is whole; None where there is none at all. Warns of each that is not.

        Raises:
            CheckpointError: There are checkpoints, and all are damaged or foreign.
        """
        faults = []
        for path in newest_first(self.folder):
            try:
                stored = checkpoint.read(path)
            except CheckpointError as error:
                faults.append(str(error))
                continue
            for fault in faults:
                warnings.warn(f"{fault}; {path.name} is used in its place", RuntimeWarning, stacklevel=2)
            return stored
        if faults:
            raise CheckpointError(
                f"no checkpoint in {self.folder} is whole; to begin anew, remove them. {'. '.join(faults[:LISTED])}"
            )
        return None


def newest_first(folder: Path) -> Iterator[Path]:
    """The checkpoints in a folder, by the number of steps in their names.

    Raises:
        CheckpointError: The folder is there and cannot be listed.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        names = []
    except OSError as error:
        raise CheckpointError(f"{folder}: {error.strerror}: its checkpoints cannot be listed") from None
    found = [(int(match[1]), name) for name in names if (match := checkpoint.NAME.fullmatch(name))]
    return (folder / name for _, name in sorted(found, reverse=True))


def save_checkpoint(path: str | Path, run: Run, *, backend: str | Backend | None = None) -> None:
    """Write a run as the folder `path` (safetensors and JSON), whole or not at all.

    Args:
        path: The folder: a new one, an empty one, or that of a checkpoint, which is replaced.
        run: What `meta_train` returned.
        backend: As in `meta_train`.

    Raises:
        InvalidArgumentError: There is something else at `path`.
        InvalidTypeError: `run` is no Run.
        DtypeNotHonouredError: A leaf is wider than float64, which safetensors cannot hold.

    Example:
        >>> from metaspec import data, nn, training
        >>> import metaspec as ms
        >>> net, source = nn.sinusoid_mlp(), data.Sinusoid()
        >>> algo, params = ms.FOMAML(ms.GradientDescent(lr=0.01, steps=1)), net.init(seed=0)
        >>> run = ms.meta_train(algo, net.loss, params, source, steps=3, tasks_per_step=4, backend="numpy")
        >>> training.save_checkpoint("saved", run)
        >>> again = training.load_checkpoint("saved", params, training.Adam(1e-3), backend="numpy")
        >>> again.steps, bool((again.params["w0"] == run.params["w0"]).all())
        (3, True)
    """
    if not isinstance(run, Run):
        raise InvalidTypeError(f"save_checkpoint: run must be what meta_train returns, got {type(run).__name__}")
    path = checked_path(path, "save_checkpoint: path")
    if path.exists() and not (path.is_dir() and {file.name for file in path.iterdir()} <= checkpoint.FILES):
        raise InvalidArgumentError(
            f"save_checkpoint: {path} is there and is no checkpoint, it would be lost; name a new folder"
        )
    own = checkpoint.name_after(run.steps)
    if checkpoint.NAME.fullmatch(path.name) and path.name != own:
        raise InvalidArgumentError(f"save_checkpoint: {path}: the run has taken {run.steps} steps; call it {own}")
    checkpoint.write(path, resolve(backend, run.params), run)


def load_checkpoint(
    path: str | Path,
    params: Tree,
    optimizer: Any = None,
    *,
    inner_state: RuleState | None = None,
    backend: str | Backend | None = None,
) -> Run:
    """Return the run in a checkpoint, on any backend, whichever wrote it.

    Args:
        path: A checkpoint, or a folder of checkpoints, whose newest that is whole is taken.
        params: Parameters of the same model, for their structure, shapes and dtypes.
        optimizer: The outer optimiser of the run, to go on with; without it `optimizer_state` is None, and
            `meta_train(resume=)` warns that the optimiser starts afresh.
        inner_state: `initial_state(algo, params)` of a run that carried the inner rule's state, for its structure.
        backend: Name or instance; by default as `get_backend` chooses, else the framework of `params`.

    Returns:
        Run.

    Raises:
        CheckpointError: Damaged, foreign, or of another model or optimiser; the message names the file and the reason.

    Example:
        >>> from metaspec import data, nn, training
        >>> import metaspec as ms
        >>> net, source = nn.sinusoid_mlp(), data.Sinusoid()
        >>> algo, params = ms.FOMAML(ms.GradientDescent(lr=0.01, steps=1)), net.init(seed=0)
        >>> run = ms.meta_train(algo, net.loss, params, source, steps=3, tasks_per_step=4, backend="numpy")
        >>> training.save_checkpoint("saved", run)
        >>> again = training.load_checkpoint("saved", params, training.Adam(1e-3), backend="numpy")
        >>> again.steps, bool((again.params["w0"] == run.params["w0"]).all())
        (3, True)
    """
    from metaspec.training.framework_optimizers import optimizer_for

    B, path = resolve(backend, params), checked_path(path, "load_checkpoint: path")
    stored = Checkpoints(path).newest() if any(newest_first(path)) else checkpoint.read(path)
    assert stored is not None
    return checkpoint.restore(
        stored, B, params, None if optimizer is None else optimizer_for(B, optimizer), inner_state
    )
