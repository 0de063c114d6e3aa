"""Where a run is kept on disk."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy

import metaspec
from metaspec.errors import InvalidArgumentError
from metaspec.protocol import Backend
from metaspec.training.evaluate import Report
from metaspec.training.run import StepRecord


@dataclass(frozen=True)
class RunFolder:
    """A folder with run.json (configuration, versions, results), metrics.jsonl (a line per step) and params.npz."""

    folder: Path
    config: dict[str, Any] = field(repr=False)

    @staticmethod
    def create(folder: Path | None, name: str, config: dict[str, Any]) -> "RunFolder":
        """An empty folder for a run: the given one, or a numbered one in runs/.

        Raises:
            InvalidArgumentError: The given folder holds something already; nothing is overwritten.
        """
        if folder is None:
            folder = next(path for i in count(1) if not (path := Path("runs") / f"{name}-{i}").exists())
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InvalidArgumentError(f"--out: {folder} exists and is not an empty folder; choose another")
        folder.mkdir(parents=True, exist_ok=True)
        run = RunFolder(folder, config)
        run._write(config)
        return run

    @contextmanager
    def metrics(self) -> Iterator[Callable[[StepRecord], Any]]:
        """A function that appends a step's record."""
        with (self.folder / "metrics.jsonl").open("a") as lines:
            yield lambda record: lines.write(json.dumps(record._asdict()) + "\n")

    def save_params(self, B: Backend, params: Any) -> None:
        """Leaves by name; a name is the path of the leaf in the tree."""
        names, leaves = B.tree_paths(params), B.tree_flatten(params)[0]
        arrays: dict[str, Any] = {
            name.strip("[]'"): numpy.asarray(B.to_numpy(B.asarray(leaf)))
            for name, leaf in zip(names, leaves, strict=True)
        }
        numpy.savez(self.folder / "params.npz", **arrays)

    def save_report(self, reports: dict[str, Report], steps: int) -> None:
        """Add the results to run.json."""
        self._write(self.config | {"steps_taken": steps, "results": {k: r.as_dict() for k, r in reports.items()}})

    def _write(self, content: dict[str, Any]) -> None:
        content = {"metaspec": metaspec.__version__, **content}
        partial = self.folder / "run.json.partial"
        partial.write_text(json.dumps(content, indent=2) + "\n")
        partial.replace(self.folder / "run.json")
