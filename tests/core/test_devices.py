"""What asks for a device, where there is none: PyTorch's device without values, CPUs, and calls that are noted."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

import metaspec as ms
from metaspec_benchmarks.frameworks import accelerator


def test_arrays_are_made_on_the_device_that_is_asked_for(B):
    devices = {"numpy": "cpu", "torch": "meta", "tensorflow": "CPU:0"}
    device = devices.get(B.name) or __import__("jax").devices("cpu")[0]
    x = ms.asarray({"x": np.ones((2, 3), "float32")}, device=device, backend=B)["x"]
    assert tuple(x.shape) == (2, 3)
    found = x.devices().pop() if B.name == "jax" else x.device
    assert str(device).lower() in str(found).lower()


def test_the_benchmark_of_a_gpu_finds_a_device(backend):
    device, with_tf32 = accelerator(backend)
    with with_tf32():
        assert float(ms.get_backend(backend).to_numpy(ms.asarray(2.0, device=device, backend=backend))) == 2.0


def test_torch_on_another_device_than_the_cpu():
    """On a device without values: all tasks at once, a recording replayed operation by operation, no look at values."""
    torch = pytest.importorskip("torch")
    B, net = ms.get_backend("torch"), ms.nn.MLP((1, 4, 1), activation=ms.nn.tanh)
    params = ms.asarray(net.init(0), device="meta", backend=B)
    assert B.tuning.batch_bytes(params) is None
    assert B.tuning.all_finite(list(params.values())).device.type == "meta"
    tasks = B.tuning.spread(params, ms.asarray(ms.data.Sinusoid().batch(0, 3), backend=B))
    algo = ms.MAML(ms.GradientDescent(0.1, 2))
    compiled = ms.compile(lambda *args: ms.batch_meta_gradient(algo, net.loss, *args).delta)
    for _ in range(2):
        delta = compiled(params, tasks)
        assert {name: (leaf.device.type, leaf.shape) for name, leaf in delta.items()} == {
            name: ("meta", leaf.shape) for name, leaf in params.items()
        }
        assert {leaf.dtype for leaf in delta.values()} == {torch.float32}


def test_torch_turns_tf32_off_where_there_is_a_gpu(monkeypatch):
    torch = pytest.importorskip("torch")
    B, flags = ms.get_backend("torch"), (torch.backends.cuda.matmul, torch.backends.cudnn)
    assert isinstance(B.precision("float32"), nullcontext)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with accelerator("torch")[1]():
        with B.precision("float32"):
            assert [flag.allow_tf32 for flag in flags] == [False, False]
        assert [flag.allow_tf32 for flag in flags] == [True, True]
    assert accelerator("torch")[0] == "cuda"


def test_torch_ranks_with_gpus_have_one_each_and_nccl(monkeypatch):
    """No GPU and no NCCL are at hand: what is asked of them is noted."""
    torch = pytest.importorskip("torch")
    from metaspec_torch import processes

    asked = []
    for name, value in {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: asked.append(("device", device)))
    fake = SimpleNamespace(
        is_initialized=lambda: False,
        init_process_group=lambda engine, timeout: asked.append((engine, timeout.total_seconds())),
        destroy_process_group=lambda: asked.append("end"),
        get_backend=lambda: "nccl",
        all_reduce=lambda x: x.mul_(2),
    )
    monkeypatch.setattr(processes, "distributed", fake)
    with processes.joined(60):
        pass
    assert asked == [("device", 1), ("nccl", 60.0), "end"]
    monkeypatch.setattr(torch.Tensor, "cuda", lambda x: x)
    x = torch.ones(2)
    assert processes.sum_vector(x).tolist() == [2.0, 2.0]
    assert x.tolist() == [1.0, 1.0]


def test_jax_on_a_gpu_takes_all_tasks_at_once(monkeypatch):
    jax = pytest.importorskip("jax")
    tuning = ms.get_backend("jax").tuning
    assert tuning.batch_bytes({}) is not None
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert tuning.batch_bytes({}) is None


def test_tensorflow_on_a_gpu(monkeypatch):
    tf = pytest.importorskip("tensorflow")
    B, enabled = ms.get_backend("tensorflow"), tf.config.experimental.tensor_float_32_execution_enabled
    assert B.tuning.batch_bytes({}) is not None
    assert isinstance(B.precision("float32"), nullcontext)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [SimpleNamespace(name="CPU:0")])
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [kind])
    assert B.tuning.batch_bytes({}) is None
    before = enabled()
    with B.precision("float32"):
        assert not enabled()
    assert enabled() == before
