"""Fixtures: every installed backend, by name and loaded; what processes of one run of the tests share."""

import os
import tempfile
from collections.abc import Iterable
from typing import Any

import pytest

import metaspec as ms
from tests import slow_tests

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
LOAD_ORDER = ("torch", "jax", "tensorflow", "numpy")  # TensorFlow before PyTorch can abort the process
INSTALLED = [name for name in LOAD_ORDER for status in ms.list_backends() if status.name == name and status.installed]

COMPILED = ("jax", "tensorflow")
"""Backends that take seconds for each new program.

What is written once, over the protocol, runs on the others with all values of a parameter, and on these with some; with
all of them in long runs. `metaspec verify`, which .ci/run calls, holds all backends to all laws in both formats.
"""
OPT_IN = {"slow": "takes seconds to minutes, and .ci/run runs it", "soak": "a long run"}
"""Markers of tests that run when they are asked for, and what is said of the tests."""
SECOND = {"dtype": "float32", "joined": False}
"""Values of parameters that are long runs on backends in COMPILED."""


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        _share_what_jax_compiles(config)
        if config.getoption("numprocesses", None):
            return  # the workers of pytest-xdist run the tests
    for name in INSTALLED:
        ms.get_backend(name)


def _share_what_jax_compiles(config: pytest.Config) -> None:
    """By a folder that lives as long as the run: the same programs are met in many tests, workers and commands.

    JAX's key holds the program, its options and the versions, so what is found there is what would be compiled.
    """
    folder = tempfile.TemporaryDirectory(prefix="metaspec-jax-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ |= {
        "JAX_COMPILATION_CACHE_DIR": folder.name,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each worker takes tests that follow one another, so what a file makes once is made in one worker, mostly."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    slow = slow_tests.named()
    for item in items:
        params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if params.get("backend") in COMPILED and any(params.get(name) == value for name, value in SECOND.items()):
            item.add_marker("soak")
        if item.nodeid in slow:
            item.add_marker("slow")
    for marker, what in OPT_IN.items():
        if marker not in config.getoption("markexpr"):
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(pytest.mark.skip(reason=f"{what}: -m {marker}"))


def fewer_compiled(values: Iterable[Any], few: Iterable[Any], backends: Iterable[str] = tuple(INSTALLED)) -> list[Any]:
    """Parameters (backend, value): each backend with each value; in COMPILED, those not in `few` are long runs."""
    long, kept = pytest.mark.soak, list(few)
    return [
        pytest.param(name, value, marks=[long] if name in COMPILED and value not in kept else [])
        for value in values
        for name in backends
    ]


@pytest.fixture(params=INSTALLED)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of an installed backend."""
    return request.param


@pytest.fixture
def B(backend: str) -> ms.Backend:
    """An installed backend."""
    return ms.get_backend(backend)
