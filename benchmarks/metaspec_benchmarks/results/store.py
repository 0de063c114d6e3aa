"""Results as they come, one JSON file for each kind; what is there is not computed again."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaspec.atomic_files import atomic_writer
from metaspec.errors import InvalidArgumentError

ResultRow = dict[str, Any]


@dataclass(frozen=True)
class Store:
    """The rows in a file; a row is found by what it is of, such as {"algorithm": "maml", "seed": 3}."""

    file: Path

    def rows(self) -> list[ResultRow]:
        """All of them, none where there is no file yet.

        Raises:
            InvalidArgumentError: The file is no such list.
        """
        if not self.file.exists():
            return []
        try:
            content = json.loads(self.file.read_bytes())
        except ValueError as error:
            raise InvalidArgumentError(f"{self.file}: it is no JSON: {error}") from None
        if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
            raise InvalidArgumentError(f"{self.file}: expected a list of results")
        return content

    def find(self, of: Mapping[str, Any]) -> ResultRow | None:
        """The row that is of this."""
        return next((row for row in self.rows() if all(row.get(k) == v for k, v in of.items())), None)

    def add(self, of: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
        """Put a row in, in place of the one that is of the same."""
        kept = [row for row in self.rows() if any(row.get(k) != v for k, v in of.items())]
        rows = sorted([*kept, {**of, **figures}], key=lambda row: [str(row.get(k)) for k in of])
        with atomic_writer(self.file) as stream:
            stream.write(("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n").encode())


def machine() -> str:
    """What the times of a row depend on."""
    return f"{platform.machine()}, {os.cpu_count()} logical processors, Python {platform.python_version()}"
