"""Comparisons whose workers live in this process, so that they cost what they compute."""

from typing import Any

import pytest

from metaspec_conformance.compare import team
from metaspec_conformance.compare.side_worker import Work, perform, prepare


class Here:
    """Stands in for a worker process."""

    def __init__(self, module: str, classes: object) -> None:
        self.work: Work | None = None

    def ask(self, job: Any, timeout: float) -> Any:
        if isinstance(job, list):
            return [perform(self.work, variant) for variant in job]
        self.work, ready = prepare(job)
        return ready

    def kill(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers in this process."""
    monkeypatch.setattr(team, "ContainedProcess", Here)
