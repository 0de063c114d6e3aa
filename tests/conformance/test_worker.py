"""A worker process: functions by name, errors, deaths, time limits; nothing outlives the one who started it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from metaspec_conformance.workers.worker import Worker, WorkerDiedError, WorkerError
from tests.processes import alive, awaited_children

PARENT = """
from metaspec_conformance.workers.worker import Worker
with Worker() as worker:
    worker.call("time:sleep", 60, timeout=100)
"""


def test_functions_run_in_another_process_that_stays():
    with Worker("os:getpid") as worker:
        pid = worker.start()
        assert pid == worker.call("os:getpid", timeout=30) == worker.start() != os.getpid()
        assert worker.call("builtins:print", "what is printed is no answer", timeout=30) is None


def test_an_error_is_reported_and_the_worker_lives_on():
    with Worker("os:getpid") as worker:
        pid = worker.start()
        with pytest.raises(WorkerError, match="ValueError: math domain error") as caught:
            worker.call("math:sqrt", -1, timeout=30)
        assert (caught.value.kind, "Traceback" in caught.value.trace) == ("ValueError", True)
        with pytest.raises(WorkerError, match="cannot be sent"):
            worker.call("threading:Lock", timeout=30)
        assert worker.call("os:getpid", timeout=30) == pid


def test_a_dead_worker_is_an_error_once_and_the_next_call_starts_another():
    with Worker("os:getpid") as worker:
        pid = worker.start()
        with pytest.raises(WorkerDiedError, match="ended with status 7"):
            worker.call("os:_exit", 7, timeout=30)
        with pytest.raises(WorkerDiedError, match="by signal 9"):
            worker.call("os:kill", worker.start(), int(signal.SIGKILL), timeout=30)
        assert worker.call("os:getpid", timeout=30) != pid


def test_a_slow_worker_is_ended():
    with Worker() as worker:
        worker.call("os:getpid", timeout=30)
        begin = time.monotonic()
        with pytest.raises(WorkerDiedError, match=r"did not answer within 0\.2 s"):
            worker.call("time:sleep", 60, timeout=0.2)
        assert time.monotonic() - begin < 10


def test_a_closed_worker_does_not_start_again():
    worker = Worker()
    worker.close()
    with pytest.raises(WorkerDiedError, match="was ended"):
        worker.start()


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not say what a process started")
def test_a_worker_ends_with_its_parent_even_when_that_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", PARENT])
    children = awaited_children(parent.pid)
    time.sleep(1)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children
    assert not any(map(alive, children))
