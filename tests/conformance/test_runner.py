"""The whole way through worker processes: faults are named, a dead worker is a result, nothing is left behind."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from metaspec_conformance.judging.certification import matching
from metaspec_conformance.scenarios.certified import certified
from metaspec_conformance.workers import work_queue
from metaspec_conformance.workers.runner import run
from metaspec_conformance.workers.work_queue import CHECKS
from metaspec_conformance.workers.worker import Worker
from tests.processes import HEEDING_SIGNALS, alive, awaited_children

FEW = matching("least-squares/*/steps-3")


def test_sound_backend_passes():
    report = run(["numpy"], FEW)
    assert report.passed
    assert len(report.outcomes) == 2 * len(FEW)
    assert report.versions["numpy"]["numpy"]


def test_fault_is_named():
    target = "tests.conformance.seeded_faults:worker_maml_without_hessian"
    report = run([target], FEW)
    assert {(o.backend, o.algorithm, o.scenario) for o in report.failures} == {
        (target, "MAML", "least-squares/maml/steps-3")
    }
    assert all(o.worst.leaf.startswith("delta") and o.worst.error > 1e4 for o in report.failures)


def test_crash_is_a_failure_of_its_scenario_and_the_rest_runs():
    report = run(["tests.conformance.seeded_faults:worker_crash"], FEW, ["float64"])
    assert [(o.scenario, o.message) for o in report.failures] == [
        ("least-squares/reptile/steps-3", "the worker process ended with status 3")
    ]
    assert len(report.outcomes) == len(FEW)


def test_hang_is_ended():
    report = run(["tests.conformance.seeded_faults:worker_hang"], FEW, ["float32"], timeout=3)
    assert [o.scenario for o in report.failures] == ["least-squares/reptile/steps-3"]
    assert "did not answer within 3 s" in report.failures[0].message


def test_worker_that_cannot_start_is_reported():
    report = run(["no_such_module:Backend"], FEW)
    assert not report.passed
    assert report.broken == (("no_such_module:Backend", "ModuleNotFoundError: No module named 'no_such_module'"),)


@pytest.mark.skipif(not Path("/proc").exists(), reason="the system does not say what a process started")
@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_interrupt_ends_the_workers(sent):
    arguments = ["verify", "tests.conformance.seeded_faults:worker_hang", "--scenario", "least-squares/reptile*"]
    process = subprocess.Popen(HEEDING_SIGNALS + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started = awaited_children(process.pid)
    assert started
    time.sleep(1)
    process.send_signal(getattr(signal, sent))
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + getattr(signal, sent)
    assert "Traceback" not in errors
    assert not any(map(alive, started))


def test_a_folder_named_like_the_package_does_not_take_its_place(tmp_path, monkeypatch):
    (tmp_path / "metaspec").mkdir()
    (tmp_path / "metaspec" / "__init__.py").write_text("raise RuntimeError('the wrong package')\n")
    monkeypatch.chdir(tmp_path)
    report = run(["numpy"], matching("linear-loss/maml"), ["float64"])
    assert report.passed


def test_workers_that_are_free_help(monkeypatch):
    started = []
    monkeypatch.setattr(work_queue, "WORTH", 2)
    monkeypatch.setattr(work_queue, "Worker", lambda *call, **how: started.append(call[1]) or Worker(*call, **how))
    report = run(["numpy"], FEW, workers=2)
    assert started == ["numpy", "numpy"]
    assert report.passed
    found = [(outcome.scenario, outcome.dtype) for outcome in report.outcomes]
    assert found == [(check.id, dtype) for check in FEW for dtype in check.dtypes]


def test_workers_share_what_jax_compiles_and_keep_nothing(monkeypatch):
    pytest.importorskip("jax")
    folders, kept = set(), []

    class Watched(Worker):
        def __init__(self, *call, compilations):
            folders.add(compilations)
            super().__init__(*call, compilations=compilations)

        def close(self):
            super().close()
            kept.append(len(list(next(iter(folders)).iterdir())))

    monkeypatch.setattr(work_queue, "Worker", Watched)
    assert run(["jax"], FEW, ["float32"]).passed
    assert kept[0] > 10
    assert not any(folder.exists() for folder in folders)


def test_a_process_by_itself_takes_no_compilations_that_lie_about(tmp_path, monkeypatch):
    pytest.importorskip("jax")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    with Worker() as worker:
        assert not worker.call(f"{CHECKS}:perform_check", "jax", FEW[0], "float32", timeout=60).error
    assert not list(tmp_path.iterdir())


def test_few_checks_are_left_to_one_worker(monkeypatch):
    started = []
    monkeypatch.setattr(work_queue, "Worker", lambda *call, **how: started.append(call[1]) or Worker(*call, **how))
    assert run(["numpy"], FEW, workers=2).passed
    assert started == ["numpy"]


def test_workers_that_die_and_help_leave_no_check_out(monkeypatch):
    monkeypatch.setattr(work_queue, "WORTH", 1)
    report = run(["tests.conformance.seeded_faults:worker_crash"], FEW, workers=2)
    assert sorted((o.scenario, o.dtype) for o in report.outcomes) == sorted((c.id, d) for c in FEW for d in c.dtypes)
    assert {o.scenario for o in report.failures} == {"least-squares/reptile/steps-3"}
    assert report.broken == ()


def test_a_target_is_given_up_after_three_deaths():
    checks = matching("reptile/steps", certified())
    report = run(["tests.conformance.seeded_faults:worker_crash"], checks)
    assert len(report.outcomes) == len(report.failures) == 3
    assert report.broken == (
        (
            "tests.conformance.seeded_faults:worker_crash",
            f"the worker process died 3 times; {2 * len(checks) - 3} checks were not run",
        ),
    )


def test_laws_run_in_the_widest_format_unless_all_are_asked_for():
    checks = [*FEW[:1], *matching("member/asarray")]
    for thorough, formats in ((True, {"float32", "float64"}), (False, {"float64"})):
        report = run(["numpy"], checks, thorough=thorough)
        found = {o.scenario: {p.dtype for p in report.outcomes if p.scenario == o.scenario} for o in report.outcomes}
        assert found == {"least-squares/maml/steps-3": {"float32", "float64"}, "member/asarray": formats}
    narrow = run(["numpy"], checks, ["float32"], thorough=False)
    assert {o.scenario for o in narrow.outcomes} == {check.id for check in checks}
    assert not narrow.thorough
