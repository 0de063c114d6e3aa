"""How far a training is, for a person to read: a callback of `meta_train`."""

import time
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from metaspec.training.run import Judged, Run
from metaspec.training.steps import Progress as Step

SMOOTHING = 0.95
LINES = 10


@dataclass
class Display:
    """A bar on a terminal, else some ten lines in all: the smoothed query loss, steps a second, time left.

    The loss is an exponential moving average, l <- 0.95 l + 0.05 loss, that starts at the first loss. Rate and time
    left count the steps since the start of this process.

    Attributes:
        total: The number of outer steps in all.
        console: Where to write.
    """

    total: int
    console: Console = field(default_factory=Console)
    _loss: float | None = field(default=None, init=False, repr=False)
    _first: int = field(default=0, init=False, repr=False)
    _since: float = field(default=0.0, init=False, repr=False)
    _bar: Any = field(default=None, init=False, repr=False)

    def start(self, run: Run) -> None:
        """Begin to count."""
        self._first, self._since = run.steps, time.perf_counter()
        if self.console.is_terminal:
            columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
            self._bar = Progress(*columns, TimeRemainingColumn(), console=self.console, transient=True)
            self._bar.add_task("compiling", total=self.total, completed=run.steps)
            self._bar.start()

    def __call__(self, step: Step) -> None:
        """Show a step."""
        loss, done = step.record.query_loss, step.record.step + 1
        self._loss = loss if self._loss is None else SMOOTHING * self._loss + (1 - SMOOTHING) * loss
        rate = (done - self._first) / (time.perf_counter() - self._since)
        if self._bar is not None:
            text = f"query loss {self._loss:.4f}  {rate:.1f} steps/s"
            self._bar.update(self._bar.task_ids[0], completed=done, description=text)
        elif done % max(1, self.total // LINES) == 0 or done == self.total:
            left = max(0, self.total - done) / rate
            self._say(f"step {done}/{self.total}  query loss {self._loss:.4f}  {rate:.1f} steps/s  {left:.0f} s left")

    def evaluated(self, judged: Judged) -> None:
        """Show an evaluation."""
        report = judged.report
        figure = f"loss {report.loss_after}"
        if report.metric_after is not None:
            figure = f"metric {report.metric_after}, {figure}"
        self._say(f"after {judged.steps} steps, on {report.tasks} held-out tasks: {figure}")

    def end(self, run: Run) -> None:
        """Clear the bar."""
        if self._bar is not None:
            self._bar.stop()

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)
