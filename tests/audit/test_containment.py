"""What audited code starts, writes and holds ends with the audit, however either of them ends."""

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import metaspec as ms

CODE = Path(__file__).parent / "code" / "hostile.py"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="what is left over is read from /proc")


class Watch:
    """A mark in the environment by which all descendants are found, and a folder for temporary files."""

    def __init__(self, folder: Path) -> None:
        self.mark = f"METASPEC_TEST_MARK={uuid.uuid4().hex}"
        self.temporary, self.begun, self.forged = folder / "tmp", folder / "begun", folder / "forged"
        self.temporary.mkdir()
        name, _, value = self.mark.partition("=")
        marks = {"METASPEC_TEST_BEGUN": str(self.begun), "METASPEC_TEST_FORGED": str(self.forged)}
        self.environment = {name: value, "TMPDIR": str(self.temporary), **marks}

    def command(self, name: str, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "metaspec", "audit", f"{CODE}:{name}", *options]
        environment = {**os.environ, **self.environment}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def wait_until_begun(self, command: subprocess.Popen[str]) -> None:
        end = time.monotonic() + 120
        while not self.begun.exists() and time.monotonic() < end and command.poll() is None:
            time.sleep(0.02)
        assert self.begun.exists(), command.communicate()[0]

    def processes(self) -> list[str]:
        """The command lines of all that carry the mark."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (place / "environ").read_bytes().split(b"\0"):
                    found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return [line for line in found if line]  # a zombie has none

    def assert_nothing_is_left(self, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and (self.processes() or list(self.temporary.iterdir())):
            time.sleep(0.05)
        assert self.processes() == []
        assert list(self.temporary.iterdir()) == []


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(tmp_path)


def audited(watch: Watch, name: str, monkeypatch: pytest.MonkeyPatch, **options: float) -> Any:
    import tempfile

    for key, value in watch.environment.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(tempfile, "tempdir", None)
    return ms.audit(f"{CODE}:{name}", **options)  # type: ignore[arg-type]


@LINUX
@pytest.mark.parametrize("name", ["grandchild", "daemon", "deaf", "unremovable_folder"])
def test_at_the_time_limit_all_that_the_code_started_ends(
    name: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = audited(watch, name, monkeypatch, timeout=1.0)
    assert report.codes == ("timeout",), str(report)
    assert watch.begun.exists()
    assert [line for line in watch.processes() if "333" in line or "supervisor" in line] == []
    assert list(watch.temporary.iterdir()) == []


@LINUX
@pytest.mark.parametrize(
    ("name", "number"), [("spins", signal.SIGKILL), ("daemon", signal.SIGKILL), ("deaf", signal.SIGTERM)], ids=str
)
def test_when_the_command_is_killed_nothing_is_left(name: str, number: int, watch: Watch) -> None:
    command = watch.command(name)
    watch.wait_until_begun(command)
    assert any("supervisor" in line for line in watch.processes())
    command.send_signal(number)
    command.wait()
    watch.assert_nothing_is_left()


@LINUX
@pytest.mark.soak  # fifty starts of the command take minutes
def test_when_the_command_is_killed_at_any_moment_nothing_is_left(watch: Watch) -> None:
    rng = random.Random(0)
    for number in range(50):
        watch.begun.unlink(missing_ok=True)
        at_work = number % 2 == 1  # else at any moment since its start, most of which goes by before the code is called
        names = ["spins", "grandchild", "daemon", "deaf", *([] if at_work else ["floods", "forges"])]
        command = watch.command(rng.choice(names))
        if at_work:
            watch.wait_until_begun(command)
        time.sleep(rng.uniform(0.0, 2.0 if at_work else 6.0))
        command.kill()
        command.wait()
        watch.assert_nothing_is_left()


@LINUX
@pytest.mark.parametrize("name", ["forges", "garbage"])
def test_a_forged_pickle_is_passed_over_and_the_verdict_stands(
    name: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = audited(watch, name, monkeypatch)
    assert (report.verdict, report.algorithm, report.codes) == ("identified", "fomaml", ()), str(report)
    assert not watch.forged.exists()
    watch.assert_nothing_is_left()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("forged_class", "was ended (a value of class 'Popen', which is not expected here)"),
        ("forged_fields", "no message and was ended (AuditReport.verdict of type int)"),
        ("no_base64", "sent something that is no message"),
        ("truncated", "the worker process ended with status 0 during a call"),
        ("another_message", "sent something else than a report"),
        ("kills_its_parent", "the worker process ended by signal 9"),
        ("escapes", "the worker process"),
    ],
)
def test_what_is_no_message_ends_the_audit_as_a_finding(
    name: str, text: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = audited(watch, name, monkeypatch, timeout=20.0)
    assert (report.verdict, report.codes) == ("failed", ("died",)), str(report)
    assert text in report.sentence


def test_a_process_that_closes_its_pipes_is_ended(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metaspec_conformance.containment.contained_process.PATIENCE", 1.0)
    report = audited(watch, "closes_everything", monkeypatch, timeout=30.0)
    assert report.codes == ("died",), str(report)
    assert "closed the pipe" in report.sentence


def test_floods_of_output_are_not_kept(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    report = audited(watch, "floods", monkeypatch, timeout=1.0)
    assert report.codes == ("timeout",), str(report)


def test_memory_is_limited(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    report = audited(watch, "eats_memory", monkeypatch, memory=1.0)
    assert report.codes == ("raises",), str(report)
    assert "Unable to allocate 2.00 GiB" in report.sentence


def _raised(call: Callable[[], object]) -> str:
    with pytest.raises(ms.MetaspecError) as caught:
        call()
    return str(caught.value)


def test_a_limit_that_is_none_is_refused() -> None:
    assert "audit: memory must be GiB >= 0" in _raised(lambda: ms.audit("a:b", memory=-1.0))
    assert "audit: timeout must be seconds > 0" in _raised(lambda: ms.audit("a:b", timeout=0.0))
