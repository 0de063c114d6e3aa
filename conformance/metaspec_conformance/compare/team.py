"""The worker processes of a comparison, and what they have answered."""

import hashlib
import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from metaspec.errors import MetaspecError
from metaspec.task import Task
from metaspec_conformance.compare.comparison_messages import Answer, Side, SideReady, Stages, Variant
from metaspec_conformance.compare.layout import Leaf
from metaspec_conformance.containment.contained_process import ContainedProcess, ProcessEndedError

MODULE = "metaspec_conformance.compare.side_worker"
CLASSES = (Answer, SideReady, Leaf, Task)  # of a side's messages
STARTUP = 300.0  # seconds; a framework's import from a cold disk is slow
AT_A_TIME = 2


class ComparisonError(MetaspecError, RuntimeError):
    """A side could not be computed; the message says which, and what went wrong in the user's code."""


class Team:
    """One process per side.

    Args:
        sides: Whom to start; at most two are busy at a time.
        timeout: Seconds for one request.
    """

    def __init__(self, sides: Sequence[Side], timeout: float) -> None:
        self._timeout = timeout
        self._pool = ThreadPoolExecutor(AT_A_TIME)
        self._processes = {side.name: ContainedProcess(MODULE, CLASSES) for side in sides}
        self._sides = tuple(sides)
        self._known: dict[tuple[str, bytes], Answer] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.kill()
        self._pool.shutdown()
        for process in self._processes.values():
            process.close()

    def ready(self) -> dict[str, SideReady]:
        """What each side has; a side that died says so in `error`."""

        def start(side: Side) -> SideReady:
            try:
                found: SideReady = self._processes[side.name].ask(side, STARTUP)
                return found
            except ProcessEndedError as ended:
                return SideReady(error=str(ended))

        return dict(zip([side.name for side in self._sides], self._pool.map(start, self._sides), strict=True))

    def ask(self, requests: Sequence[tuple[str, Variant]]) -> list[Answer]:
        """The answers in the order of the requests (side, variant); what was asked before is remembered."""
        keys = [(name, hashlib.sha256(pickle.dumps(variant)).digest()) for name, variant in requests]
        todo: dict[str, dict[bytes, Variant]] = {}
        for (name, key), (_, variant) in zip(keys, requests, strict=True):
            if (name, key) not in self._known:
                todo.setdefault(name, {})[key] = variant
        for name, answers in self._pool.map(self._work, todo.items()):
            self._known.update({(name, key): answer for key, answer in zip(todo[name], answers, strict=True)})
        return [self._known[key] for key in keys]

    def stages(self, requests: Sequence[tuple[str, Variant]]) -> list[Stages]:
        """Return the stages of each request, as `ask` computes them.

        Raises:
            ComparisonError: One of them has no answer.
        """
        answers = self.ask(requests)
        for (name, _), answer in zip(requests, answers, strict=True):
            if answer.error:
                raise ComparisonError(f"{name}: {answer.error}")
        return [answer.stages for answer in answers]

    def afresh(self, name: str, variant: Variant) -> Stages:
        """One side's answer, computed again."""
        answer = self._work((name, {b"": variant}))[1][0]
        if answer.error:
            raise ComparisonError(f"{name}: {answer.error}")
        return answer.stages

    def _work(self, request: tuple[str, dict[bytes, Variant]]) -> tuple[str, list[Answer]]:
        name, variants = request
        try:
            answers: list[Answer] = self._processes[name].ask(list(variants.values()), self._timeout * len(variants))
        except ProcessEndedError as ended:
            answers = [Answer({}, str(ended), died=True)] * len(variants)
        return name, answers
