import pytest

from metaspec.backend import selection as choice


@pytest.fixture(autouse=True)
def _choice_of_a_backend_ends_with_the_test(monkeypatch):
    """A fault planted in the choice of a backend may leave its choice behind."""
    monkeypatch.setattr(choice, "_chosen", choice._chosen)
