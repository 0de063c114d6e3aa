"""The kit as an author of an adapter meets it: the plugin, the base class, expected failures, crashes and hangs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metaspec.backend.registry import Registration
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.trees import tree_map
from metaspec_conformance.judging.certification import certification
from metaspec_conformance.laws.members.required_members import ORDER
from metaspec_conformance.pytest_plugin import evidence_ahead
from metaspec_conformance.pytest_plugin import plugin_cases as kit_cases
from metaspec_conformance.pytest_plugin.expected import checked, read, reason_of, unknown
from metaspec_conformance.pytest_plugin.plugin_cases import CheckCase, cases
from metaspec_conformance.pytest_plugin.running import Running
from metaspec_conformance.pytest_plugin.verdict import conclude
from metaspec_conformance.workers.work_queue import _possible
from metaspec_numpy.adapter import NumpyBackend
from tests.helpers import with_path

MODULE = """
import os, time
from metaspec_numpy.adapter import NumpyBackend
from metaspec.trees import tree_map


class Mine(NumpyBackend):
    name = "mine"


class Crashing(Mine):
    def stop_gradient(self, tree):
        os._exit(7)


class Hanging(Mine):
    def is_concrete(self, x):
        time.sleep(600)


class Halved(Mine):
    def vjp(self, f, *primals):
        value, pullback = super().vjp(f, *primals)
        return value, lambda u: tree_map(self, lambda g: g * 0.5, pullback(u))
"""


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "mine.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--color=no", *arguments]
    environment = with_path(folder) | {"COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def lines(done: subprocess.CompletedProcess[str], kind: str) -> list[str]:
    return [
        line.split(" ", 1)[1].partition(" - ")[0] for line in done.stdout.splitlines() if line.startswith(f"{kind} ")
    ]


def case(name: str, dtype: str = "float64") -> CheckCase:
    return next(CheckCase(check, dtype) for check in certification() if check.id == name)


def conclusion(backend: Any, name: str, expected: dict[str, str] | None = None) -> tuple[str, str]:
    """How pytest would end the test, and the words."""
    kinds = {"failed": pytest.fail.Exception, "xfailed": pytest.xfail.Exception, "skipped": pytest.skip.Exception}
    try:
        conclude(Running(backend), case(name), expected or {}, lambda name, value: None)
    except tuple(kinds.values()) as end:
        return next(kind for kind, error in kinds.items() if type(end) is error), str(end)
    return "passed", ""


class Halved(NumpyBackend):
    def vjp(self, f: Any, *primals: Any) -> Any:
        value, pullback = super().vjp(f, *primals)
        return value, lambda u: tree_map(self, lambda g: g * 0.5, pullback(u))


def test_importing_the_plugin_loads_nothing_heavy():
    code = (
        "import sys, metaspec_conformance.pytest_plugin.plugin;"
        "print({'numpy', 'torch', 'jax', 'tensorflow', 'hypothesis', 'mpmath'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_cases_come_in_the_order_to_write_members_in():
    found = cases("numpy")
    laws = list(dict.fromkeys(case.check.id for case in found))
    assert tuple(laws[: len(ORDER)]) == ORDER
    assert {case.check.id for case in found} == {check.id for check in certification()}
    assert len({case.id for case in found}) == len(found)


def test_cases_are_limited():
    assert {case.dtype for case in cases("numpy", ["float32"])} == {"float32"}
    assert {case.check.id for case in cases("numpy", [], "member/vjp")} == {"member/vjp"}
    with pytest.raises(InvalidArgumentError, match="dtype 'float8' is not one of float32, float64"):
        cases("numpy", ["float8"])
    with pytest.raises(InvalidArgumentError, match="no check's id contains or matches 'zzz'"):
        cases("numpy", [], "zzz")


def test_a_backend_without_float64_runs_every_check(monkeypatch):
    narrow = Registration("narrow", "a:B", (), (), "pip install a", dtypes=("float32",))
    monkeypatch.setattr(kit_cases, "registrations", lambda: {"narrow": narrow})
    found = cases("narrow")
    assert {case.dtype for case in found} == {"float32"}
    assert {case.check.id for case in found} == {check.id for check in certification()}
    jobs = [(check, dtype) for check in certification() for dtype in check.dtypes]
    assert {(check.id, dtype) for check, dtype in _possible(jobs, ("float32",))} == {
        (c.check.id, c.dtype) for c in found
    }
    usual = ("float32", "float64")
    assert _possible(jobs, usual) == [job for job in jobs if job[1] in usual]


def test_a_backend_that_is_none():
    with pytest.raises(InvalidTypeError, match=r"expected a name, 'module:attribute', a metaspec\.Backend"):
        Running(3)


def test_conclusions():
    name = "least-squares/maml/steps-1"
    assert conclusion(NumpyBackend, name) == ("passed", "")
    how, words = conclusion(Halved(), name)
    assert how == "failed"
    for word in (
        "adapted",
        "relative error",
        "MS-MAML-1",
        "tolerance 16",
        f"metaspec verify numpy --scenario '{name}'",
    ):
        assert word in words
    assert conclusion(Halved, name, {name: "known"})[0] == "xfailed"
    assert conclusion(Halved, name, {f"{name}[float64]": "known"})[0] == "xfailed"
    assert conclusion(Halved, name, {f"{name}[float32]": "known"})[0] == "failed"
    how, words = conclusion(NumpyBackend, name, {name: "known"})
    assert (how, words) == ("failed", f"{name}[float64] passes, and is expected to fail (known): remove the entry")


class Unwritten(NumpyBackend):
    def vjp(self, f: Any, *primals: Any) -> Any:
        raise NotImplementedError("vjp is still to be written")


class UnwrittenAndInexact(Unwritten):
    def asarray(self, x: Any, dtype: str | None = None, device: Any = None) -> Any:
        return super().asarray(x, dtype) * 2


def test_what_waits_for_an_unwritten_member_is_skipped_and_nothing_else():
    assert Running(Unwritten).unwritten == ("vjp",)
    assert conclusion(Unwritten, "member/asarray")[0] == "passed"
    assert conclusion(Unwritten, "member/vjp")[0] == "failed"
    assert conclusion(Unwritten, "least-squares/maml/steps-1") == ("skipped", "waits for vjp")
    assert conclusion(UnwrittenAndInexact, "least-squares/reptile/steps-0")[0] == "failed"


def test_expected_failures_of_a_file(tmp_path):
    file = tmp_path / "expected.toml"
    file.write_text('[expected-failures]\n"a" = "one"\n[expected-failures.mine]\n"b" = "two"\n')
    assert read(file, "mine") == {"a": "one", "b": "two"}
    assert read(file, "other") == {"a": "one"}
    assert unknown({"a": "one"}) == ["expected failure 'a' names no known check"]
    near = unknown({"least-squares/maml/step-1": "x", "least-squares/maml/steps-1": "x", "member/vjp[float64]": "x"})
    assert len(near) == 1
    assert "did you mean 'least-squares/maml/steps-1" in near[0]
    assert reason_of(case("member/vjp"), {"member/vjp[float32]": "x"}) is None
    for content, words in (
        ('[expected-failures]\n"a" = ""\n', "'a' needs a reason, got ''"),
        ('[expected-failures]\n"a" = 3\n', "'a' needs a reason, got 3"),
        ('[expected]\n"a" = "x"\n', r"expected one table, \[expected-failures\], got expected"),
        ("a = ", "expected.toml: Invalid value"),
    ):
        file.write_text(content)
        with pytest.raises(InvalidArgumentError, match=words):
            read(file, "mine")
    with pytest.raises(InvalidArgumentError, match="'a' needs a reason"):
        checked({"a": " "}, "TestMine.expected_failures")


def test_the_plugin_collects_a_backend_without_a_test_file(tmp_path):
    """A crash is a failure of its check, the rest runs; stale and unknown entries fail, expected ones do not."""
    (tmp_path / "expected.toml").write_text(
        '[expected-failures]\n"member/vjp" = "stale"\n"nonesuch" = "x"\n"member/stop_gradient[float64]" = "it ends"\n'
        '"member/stopped_outputs" = "it ends too"\n'
    )
    arguments = (
        "--metaspec-backend",
        "mine:Crashing",
        "--metaspec-scenarios",
        "member/*",
        "--metaspec-dtype",
        "float64",
    )
    done = run_pytest(tmp_path, *arguments, "--metaspec-expected-failures", "expected.toml")
    assert done.returncode == 1, done.stdout + done.stderr
    suite = "metaspec::mine:Crashing::"
    assert set(lines(done, "FAILED")) == {f"{suite}member/vjp[float64]", f"{suite}expected-failures"}
    ended = [f"{suite}member/{name}[float64]" for name in ("stop_gradient", "stopped_outputs")]
    assert lines(done, "XFAIL") == ended
    assert "it ends (the worker process ended with status 7)" in done.stdout
    assert "expected failure 'nonesuch' names no known check" in done.stdout
    assert f"{suite}member/asarray[float64]" in lines(done, "PASSED")
    assert len(lines(done, "PASSED")) == len(cases("mine:Crashing", ("float64",), "member/*")) - 3


def test_the_plugin_ends_what_hangs_and_a_worker_that_dies_too_often(tmp_path):
    arguments = ("--metaspec-backend", "mine:Hanging", "--metaspec-timeout", "2", "--metaspec-dtype", "float64")
    done = run_pytest(tmp_path, *arguments, "--metaspec-scenarios", "least-squares/maml/*")
    assert done.returncode == 1
    assert len(lines(done, "FAILED")) == 4
    assert done.stdout.count("did not answer within 2 s and was ended") >= 3
    assert "the worker process died 3 times; it is not started again" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--metaspec-backend", "nonesuch"), "backend 'nonesuch' is not registered"),
        (("--metaspec-backend", "numpy", "--metaspec-expected-failures", "none.toml"), "none.toml"),
    ],
)
def test_wrong_options_are_usage_errors(tmp_path, arguments, words):
    done = run_pytest(tmp_path, *arguments)
    assert done.returncode == 4, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


TESTS = """
from metaspec_conformance.pytest_plugin import BackendConformance
import mine


class TestByName(BackendConformance):
    backend = "mine:Halved"
    dtypes = ("float64",)
    scenarios = "least-squares/*/steps-1"
    expected_failures = {
        "least-squares/fomaml/steps-1": "halved",
        "least-squares/maml/steps-1[float64]": "halved",
        "nonesuch": "halved",
    }


class TestByObject(BackendConformance):
    backend = mine.Mine
    scenarios = "least-squares/maml/*"


class TestWithoutReason(BackendConformance):
    backend = mine.Mine()
    dtypes = ("float64",)
    scenarios = "least-squares/maml/steps-1"
    expected_failures = {"least-squares/maml/steps-1": ""}
"""


def test_the_base_class(tmp_path):
    (tmp_path / "test_mine.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nmetaspec_expected_failures = expected.toml\naddopts = --strict-markers\n"
    )
    (tmp_path / "expected.toml").write_text(
        '[expected-failures."mine:Halved"]\n"least-squares/imaml/steps-1" = "halved"\n'
    )
    done = run_pytest(tmp_path, "-p", "no:randomly")
    named, by_object = "test_mine.py::TestByName::", "test_mine.py::TestByObject::"
    assert set(lines(done, "XFAIL")) == {
        f"{named}test_conforms[least-squares/{name}/steps-1[float64]]" for name in ("fomaml", "maml", "imaml")
    }
    assert set(lines(done, "FAILED")) == {
        f"{named}test_conforms[least-squares/reptile/steps-1[float64]]",
        f"{named}test_expected_failures_name_checks",
    }
    passed = [
        f"{by_object}test_conforms[least-squares/maml/steps-{k}[{d}]]"
        for k in (0, 1, 3, 5)
        for d in ("float32", "float64")
    ]
    assert set(lines(done, "PASSED")) == {*passed, f"{by_object}test_expected_failures_name_checks"}
    assert all("::TestWithoutReason::" in name for name in lines(done, "ERROR"))
    words = "TestWithoutReason.expected_failures: expected failure 'least-squares/maml/steps-1' needs a reason"
    assert words in done.stdout


def test_verify_takes_module_and_attribute(tmp_path):
    (tmp_path / "mine.py").write_text(MODULE)
    command = [sys.executable, "-c", "from metaspec.cli import main; main()", "verify", "mine:Mine"]
    arguments = ["--scenario", "least-squares/maml/*", "--dtype", "float64", "--json", "report.json"]
    done = subprocess.run(command + arguments, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "report.json").read_text())
    assert figures["passed"]
    assert list(figures["versions"]) == ["mine:Mine"]


def test_evidence_of_the_last_checks_is_computed_beside_the_tests(monkeypatch):
    monkeypatch.setattr(evidence_ahead, "WORTH", 2)
    monkeypatch.setattr(evidence_ahead, "_known", {})
    checks = [case(name).check for name in ("least-squares/maml/steps-1", "least-squares/fomaml/steps-1")]
    first = evidence_ahead.EvidenceAhead(checks)
    first._thread.join(60)
    first.close()
    assert list(evidence_ahead._known) == [check.id for check in reversed(checks)]
    monkeypatch.setattr(evidence_ahead, "evidence", lambda check: pytest.fail("computed again"))
    assert evidence_ahead.evidence_of(checks[0])[1] == ""
