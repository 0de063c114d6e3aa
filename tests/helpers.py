"""For tests of packages that are not installed in this environment, and for those that would compile for long."""

import os
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import metaspec as ms


def whole(B: ms.Backend, f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, compiled where every operation would otherwise be compiled by itself, which takes ten times as long."""
    return B.compile(f) if B.name == "jax" else f


@contextmanager
def installed(project: Path) -> Iterator[dict[str, str]]:
    """An environment for processes in which the project is installed, as `pip install -e` would have it.

    Its `src` folder is on the path, with metadata that hold its entry points.
    """
    settings = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    name, version = settings["name"].replace("-", "_"), settings["version"]
    metadata = project / "src" / f"{name}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {settings['name']}\nVersion: {version}\n")
    groups = settings["entry-points"].items()
    text = "".join(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()) for group, entries in groups)
    (metadata / "entry_points.txt").write_text(text)
    yield with_path(project / "src") | {"COLUMNS": "200", "NO_COLOR": "1"}


def with_path(folder: Path) -> dict[str, str]:
    """The environment with a folder before what PYTHONPATH has."""
    before = os.environ.get("PYTHONPATH", "")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *([before] if before else [])])}
