"""Workers of TF_CONFIG that do not come: told within the time that is given, by address."""

import json
import socket
import time

import pytest

import metaspec as ms
from tests.ranks.test_engines import free_ports

pytest.importorskip("tensorflow")


@pytest.fixture
def workers(monkeypatch):
    port = free_ports(2)
    addresses = [f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}"]
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    return addresses


def test_a_worker_that_does_not_come_is_named(workers):
    start = time.monotonic()
    joined = ms.get_backend("tensorflow").joined(timeout=1)
    with pytest.raises(ms.errors.RankError, match=f"worker 0 has waited 1 s for worker 1.*{workers[1]}"), joined:
        pass
    assert time.monotonic() - start < 30


def test_each_listens_until_all_do(workers):
    from metaspec_tensorflow.processes import await_workers

    with socket.create_server(("127.0.0.1", int(workers[1].rpartition(":")[2]))) as other:
        await_workers({"worker": workers}, "worker", 0, timeout=5)
        other.accept()[0].close()
    with socket.create_server(("127.0.0.1", int(workers[0].rpartition(":")[2]))):
        pass  # the address is free again, for TensorFlow
