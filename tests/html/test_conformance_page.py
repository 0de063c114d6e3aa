"""The page of a run of conformance: what agrees, what fails and how to see it again."""

import re
from html.parser import HTMLParser
from typing import Any

import typer
from typer.testing import CliRunner

from metaspec_conformance.commands import verify
from metaspec_conformance.judging.certification import matching
from metaspec_conformance.kinks.kink_measurements import measure
from metaspec_conformance.pytest_plugin.plugin_cases import CheckCase
from metaspec_conformance.pytest_plugin.running import Running
from metaspec_conformance.reports.verify_page import page_of, programs_of
from metaspec_conformance.workers.runner import VerifyReport
from metaspec_numpy import adapter

CHECKS = (
    *matching("least-squares/maml/steps-1"),
    *matching("least-squares/fomaml/steps-1"),
    *matching("permuted-tasks"),
)


class Faulty(adapter.NumpyBackend):
    """Products with the Hessian are a thousandth too large."""

    def linearize_grad(self, f: Any) -> Any:
        def linearize(x: Any, *args: Any) -> Any:
            gradient, product = super(Faulty, self).linearize_grad(f)(x, *args)
            return gradient, lambda v: self._longer(product(v))

        return linearize

    def _longer(self, tree: Any) -> Any:
        leaves, structure = self.tree_flatten(tree)
        return self.tree_unflatten(structure, [1.001 * leaf for leaf in leaves])


class Cells(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.found: list[tuple[str, str]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br", "hr"):
            self.open.append((tag, dict(attrs).get("class") or ""))

    def handle_startendtag(self, tag, attrs): ...

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1][0] == "td":
            self.found.append((self.open[-1][1], data))


def report_of(backend: type[adapter.NumpyBackend]) -> VerifyReport:
    running = Running(backend)
    outcomes = [running.outcome(CheckCase(check, dtype)) for check in CHECKS for dtype in check.dtypes]
    return VerifyReport(tuple(outcomes), {"numpy": {"numpy": "2"}}, ())


def test_a_run_in_which_all_agrees():
    report = report_of(adapter.NumpyBackend)
    text = page_of(report, 1.5, programs_of(report, CHECKS), {"numpy": measure(adapter.NumpyBackend())})
    cells = Cells(text)
    assert f"everything agrees: {len(report.outcomes)} computations in 2 s" in text
    assert "Failures" not in text
    assert not [cell for cell in cells.found if cell[0] == "bad"]
    assert ("", "maximum(x, 0)") in cells.found
    assert ("", "linearize_grad") in cells.found
    shown = {kind for kind, text in cells.found if re.fullmatch(r"[\d.]+ digits, error [\d.e-]+", text)}
    assert shown <= {"best", "good"}
    assert shown


def test_a_run_in_which_something_fails():
    report = report_of(Faulty)
    failed = [outcome for outcome in report.failures if outcome.algorithm == "MAML" and "/" in outcome.scenario]
    assert failed
    programs = programs_of(report, CHECKS)
    assert {outcome.scenario for outcome in programs} >= {"least-squares/maml/steps-1"}
    text = page_of(report, 1.0, programs)
    cells = Cells(text)
    bad = [text for kind, text in cells.found if kind == "bad"]
    assert bad
    assert all("failed" in text for text in bad)
    for outcome in failed:
        assert f"--scenario '{outcome.scenario}' --dtype {outcome.dtype}" in text
        assert outcome.message in text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert "ms.meta_gradient(algo, loss, params, tasks[0], backend=B)" in text


def test_a_backend_that_did_not_start():
    text = page_of(VerifyReport((), {}, (("torch", "it is <gone>"),)), 0.1)
    Cells(text)
    assert "1 failed" in text
    assert "torch: it is &lt;gone&gt;" in text


def test_a_page_of_kinks_alone_is_none():
    app = typer.Typer()
    verify.register(app)
    done = CliRunner().invoke(app, ["numpy", "--kinks", "--html", "x.html"])
    assert "leave --kinks out" in str(done.exception)
