"""What a training tells of its loss: a look before the first step, and growth by orders of magnitude with its cause."""

import logging
from dataclasses import dataclass, field
from math import nan
from statistics import fmean
from typing import Any

from metaspec.algorithms.base import Algorithm, is_empty
from metaspec.backend.patterns import matching
from metaspec.backend.protocol import Backend
from metaspec.checks.caller_warnings import warn_caller
from metaspec.errors import LossCheckError
from metaspec.inner.learned import parameters_of
from metaspec.losses.findings import LossCheck
from metaspec.task import Task, Tree
from metaspec.training.divergence import LossGrowth, inner_path

logger = logging.getLogger("metaspec")

RAISED_BY_THE_STEP = ("raises", "contract", "mutation", "no-gradient", "non-finite", "kink")
EXPLODED = 10.0  # of the query loss after adaptation, against that before


class NoWatch:
    """Tells nothing: `meta_train(..., check=False)`."""

    def before(self, params: Tree, tasks: Task) -> None:
        """Nothing."""

    def after(self, params: Tree, tasks: Task, step: int, query_loss: float) -> None:
        """Nothing."""


@dataclass
class LossWatch(NoWatch):
    """Looks at the loss before the first step of a training, and at the query losses as they come.

    Attributes:
        B: The backend.
        algo: The algorithm.
        loss: As in `meta_gradient`.
        growth: The query losses so far.
        looked: Whether the loss was looked at.
        told: Whether divergence was told, which is said once.
    """

    B: Backend
    algo: Algorithm
    loss: Any
    growth: LossGrowth = field(default_factory=LossGrowth)
    looked: bool = False
    told: bool = False

    def before(self, params: Tree, tasks: Task) -> None:
        """Look at the loss on the first task, once.

        Raises:
            LossCheckError: The algorithm would silently compute something wrong.
        """
        if not self.looked:
            from metaspec.losses.check import check_loss  # needed only where it is not turned off

            self.looked = True
            batch = self.algo.inner_batch(self.B, self._first(tasks))
            found = check_loss(self.loss, parameters_of(params), batch, compiled=False, backend=self.B)
            self._check_moving(found, parameters_of(params))
            report_loss(found, self.algo)

    def _check_moving(self, found: LossCheck, params: Tree) -> None:
        """Raise where the inner loop moves only leaves that the loss does not use (CAVIA's context, say)."""
        patterns = getattr(self.algo, "adapt", None)
        if patterns is None:
            return
        paths = self.B.tree_paths(params)
        moving = {"params" + paths[i].removeprefix("root") for i in matching(self.B, params, patterns, "adapt")}
        for finding in found.findings:
            if finding.kind == "unused-leaf" and moving <= set(finding.numbers):
                raise LossCheckError(
                    f"meta_train: {finding.seen}, and these are all that the inner loop moves (adapt={patterns!r}): "
                    "nothing is adapted; use them in the loss, or name others",
                    found,
                )

    def after(self, params: Tree, tasks: Task, step: int, query_loss: float) -> None:
        """Warn where the query loss of this step tells of divergence; `params` are those that the step started from."""
        if self.told:
            return
        usual = self.growth.observe(query_loss)
        if len(self.growth.first) == 1:
            unadapted = self._unadapted(params, tasks)
            if query_loss > EXPLODED * abs(unadapted):
                path = inner_path(self.B, self.algo, self.loss, params, self._first(tasks))
                if path is not None and path.diverges:
                    self.told = True
                    warn_caller(
                        f"meta_train: the query loss is {unadapted:.3g} before adaptation and {query_loss:.3g} after "
                        f"it: {path}"
                    )
        elif usual is not None:
            self.told = True
            path = inner_path(self.B, self.algo, self.loss, params, self._first(tasks))
            warn_caller(
                f"meta_train: outer step {step}: the query loss is {query_loss:.3g}, and was {usual:.3g} at first: "
                f"the training diverges. Its cause: {path or 'not seen; lower the learning rates, or set clip_norm'}"
            )

    def _first(self, tasks: Task) -> Task:
        leaves, structure = self.B.tree_flatten(tasks)
        first: Task = self.B.tree_unflatten(structure, [leaf[0, ...] for leaf in leaves])
        return first

    def _unadapted(self, params: Tree, tasks: Task) -> float:
        """The mean loss on the query sets at the meta-parameters themselves; NaN without query sets."""
        if is_empty(self.B, tasks.query):
            return nan
        loss = self.B.compile(self.loss) if self.B.tuning.eager_compiles else self.loss
        rows, structure = self.B.tree_flatten(tasks.query)
        queries = [self.B.tree_unflatten(structure, [row[i, ...] for row in rows]) for i in range(rows[0].shape[0])]
        return fmean(float(self.B.to_numpy(loss(parameters_of(params), query))) for query in queries)


def report_loss(check: LossCheck, algo: Algorithm) -> None:
    """Raise LossCheckError where the algorithm would silently compute something wrong; warn of what is doubtful.

    What the first step raises by itself is left to it: there the traceback leads to the place.
    """
    order = 2 if getattr(algo, "second_order", True) else 1
    wrong = []
    for finding in check.findings:
        if finding.order > order or finding.severity == "note":
            logger.info("meta_train: %s", finding)
        elif finding.severity == "warning":
            warn_caller(f"meta_train: {finding}")
        elif finding.kind not in RAISED_BY_THE_STEP:
            wrong.append(finding)
    if wrong:
        raise LossCheckError(
            f"meta_train: {'; '.join(map(str, wrong))}. metaspec.check_loss(loss, params, batch) looks again; "
            "check=False (--no-check) trains without looking",
            check,
        )
