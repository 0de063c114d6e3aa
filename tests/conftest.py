"""Fixtures: every installed backend, by name and loaded."""

import os

import pytest

import metaspec as ms

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
LOAD_ORDER = ("torch", "jax", "tensorflow", "numpy")  # TensorFlow before PyTorch can abort the process
INSTALLED = [name for name in LOAD_ORDER for status in ms.list_backends() if status.name == name and status.installed]


def pytest_configure(config: pytest.Config) -> None:
    for name in INSTALLED:
        ms.get_backend(name)


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
