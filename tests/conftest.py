"""Fixtures: every installed backend, by name and loaded; what processes of one run of the tests share."""

import os
import tempfile
from typing import Any

import pytest

import metaspec as ms

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
LOAD_ORDER = ("torch", "jax", "tensorflow", "numpy")  # TensorFlow before PyTorch can abort the process
INSTALLED = [name for name in LOAD_ORDER for status in ms.list_backends() if status.name == name and status.installed]


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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "soak" not in config.getoption("markexpr"):
        for item in items:
            if item.get_closest_marker("soak"):
                item.add_marker(pytest.mark.skip(reason="a long run: -m soak"))


@pytest.fixture(params=INSTALLED)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of an installed backend."""
    return request.param


@pytest.fixture
def B(backend: str) -> ms.Backend:
    """An installed backend."""
    return ms.get_backend(backend)
