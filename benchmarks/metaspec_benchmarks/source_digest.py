"""Which code a run was of: figures of different code must not stand in one table."""

import hashlib
from importlib import import_module
from pathlib import Path

ADAPTERS = ("metaspec_numpy", "metaspec_torch", "metaspec_jax", "metaspec_tensorflow")
PACKAGES = ("metaspec", *ADAPTERS, "metaspec_benchmarks")
OTHERS = ("cli", "html", "plots")  # rooms of metaspec that are not timed
SHOWING = ("performance_document.py", "result_plots.py", "result_tables.py")  # what is done with figures later


def digest() -> str:
    """A hash of the sources that are timed, the same for every way to install them."""
    found = hashlib.sha256()
    for package in PACKAGES:
        for folder in map(Path, import_module(package).__path__):
            for file in sorted(folder.rglob("*.py")):
                name = file.relative_to(folder)
                if name.parts[0] not in (OTHERS if package == "metaspec" else SHOWING):
                    found.update(f"{package}/{name.as_posix()}\n".encode() + file.read_bytes())
    return found.hexdigest()[:16]
