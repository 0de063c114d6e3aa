"""The figures of evaluations as a table for the terminal."""

from collections.abc import Mapping

from rich.table import Table

from metaspec.training import EvaluationReport


def report_table(reports: Mapping[str, EvaluationReport]) -> Table:
    """Return a table with a row for the loss and one for the accuracy of each report, before and after adaptation."""
    tasks = " or ".join(str(n) for n in sorted({report.tasks for report in reports.values()}))
    table = Table(caption=f"query sets of {tasks} held-out tasks, mean and 95 % interval over tasks")
    for heading in ("", "", "before adaptation", "after adaptation"):
        table.add_column(heading)
    for name, r in reports.items():
        table.add_row(name, "query loss", str(r.loss_before), str(r.loss_after))
        if r.metric_before is not None and r.metric_after is not None:
            table.add_row(name, "accuracy %", str(r.metric_before.percent()), str(r.metric_after.percent()))
    return table
