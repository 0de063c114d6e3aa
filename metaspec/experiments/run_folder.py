"""Where a run is kept on disk, so that it can be gone on with, judged again and compared.

run.json: settings, versions, results. metrics.jsonl: a line per step and evaluation. checkpoints/: to go on with.
params.safetensors: the result, leaves by name. pictures/: of what was learnt. tensorboard/: where it was asked for.
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import metaspec
from metaspec.atomic_files import atomic_writer, sweep
from metaspec.backend.protocol import Backend
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.experiments.config import Config, effective
from metaspec.reading import LARGEST_JSON, parsed_json, read_regular
from metaspec.training.checkpoint import named_leaves, packed
from metaspec.training.evaluation import EvaluationReport
from metaspec.training.metrics import strict

RUN, METRICS, PICTURES = "run.json", "metrics.jsonl", "pictures"


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds one run; where several processes make it, one `writes`."""

    folder: Path
    config: Config = field(repr=False)
    writes: bool = field(default=True, repr=False)

    @staticmethod
    def create(folder: Path | None, config: Config, B: Backend) -> "RunFolder":
        """An empty folder for a run: the given one, or a numbered one in runs/.

        Raises:
            InvalidArgumentError: The given folder holds something already; nothing is overwritten.
        """
        if folder is None:
            name = f"{config.experiment}-{config.algorithm}-{config.backend}"
            folder = next(path for i in count(1) if not (path := Path("runs") / f"{name}-{i}").exists())
        if folder.is_dir():
            sweep(folder, RUN)  # left there by a process that was killed at this very point
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InvalidArgumentError(f"--out: {folder} exists and is not an empty folder; choose another")
        run = RunFolder(folder, config)
        try:
            run._write({"versions": versions(B)})
        except OSError as error:
            raise InvalidArgumentError(f"--out: {folder} cannot be written: {error.strerror or error}") from None
        return run

    @staticmethod
    def open(folder: Path) -> "RunFolder":
        """The run in a folder.

        Raises:
            InvalidArgumentError: There is none.
        """
        config = run_description(folder)["config"]
        try:
            return RunFolder(folder, effective(config))
        except (InvalidArgumentError, InvalidTypeError) as error:
            raise InvalidArgumentError(f"{folder / RUN}: it does not describe a run: {error}") from None

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.folder / "checkpoints"

    @property
    def finished(self) -> bool:
        """Whether run.json has results: they come after the last step."""
        return bool(run_description(self.folder).get("results"))

    @property
    def diverged(self) -> bool:
        """Whether run.json says that the training ended with NaN or infinity."""
        return bool(run_description(self.folder).get("diverged"))

    def save_result(
        self, B: Backend, params: Any | None, steps: int, reports: Mapping[str, EvaluationReport], **more: Any
    ) -> None:
        """Write the parameters, if there are any, and the results into run.json."""
        if not self.writes:
            return
        if params is not None:
            with atomic_writer(self.folder / "params.safetensors") as stream:
                stream.write(packed(named_leaves(B, params)))
        results = {name: report.as_dict() for name, report in reports.items()}
        self._write({"versions": versions(B), "steps_taken": steps, **more, "results": results})

    def _write(self, results: Mapping[str, Any]) -> None:
        content = {"metaspec": metaspec.__version__, "config": self.config.saved(), **results}
        with atomic_writer(self.folder / RUN) as stream:
            stream.write((json.dumps(strict(content), indent=2) + "\n").encode())


def run_description(folder: Path) -> dict[str, Any]:
    """What run.json says of the run in a folder; its "config" is an object, the rest is not looked at.

    Raises:
        InvalidArgumentError: There is no run in the folder.
    """
    try:
        content = parsed_json(read_regular(folder / RUN, LARGEST_JSON))
    except (FileNotFoundError, NotADirectoryError):
        inside = ", ".join(str(file.parent) for file in sorted(folder.glob(f"*/{RUN}"))[:3])
        hint = f"; there are some in its folders: {inside}" if inside else ""
        raise InvalidArgumentError(f"{folder}: there is no run in it (no {RUN}){hint}") from None
    except OSError as error:
        raise InvalidArgumentError(f"{folder / RUN}: it cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InvalidArgumentError(f"{folder / RUN}: it does not describe a run: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        raise InvalidArgumentError(
            f'{folder / RUN}: it does not describe a run: expected {{"config": {{...}}, ...}}; is it a foreign file?'
        )
    return content


def versions(B: Backend) -> dict[str, str]:
    """What the figures of a run depend on."""
    return {"python": platform.python_version(), "platform": platform.platform(), **B.versions()}
