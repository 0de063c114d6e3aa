"""The code of docs/adapters.md on PyTorch: what it computes is right, and the loss runs as often as the page says."""

import re
from pathlib import Path

import pytest

import metaspec as ms
from metaspec.backend.protocol import Backend

torch = pytest.importorskip("torch")
adapter = pytest.importorskip("metaspec_torch.adapter")

PAGE = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text(encoding="utf-8")
BLOCKS = [block for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL) if "def value_and_grad" in block]
DERIVED = {
    name: getattr(Backend, name) for name in ("grad", "jvp", "hvp", "linearize_grad", "vmap", "scan", "checkpoint")
}


def _vjp(f, primals, cotangents, create_graph=True):
    """A framework's vjp that wants the cotangents at once."""
    B = ms.get_backend("torch")
    value, pullback = tape()["vjp"](B, f, *primals)
    return value, pullback(cotangents)


def _value_and_grad(f, x):
    value, (gradient,) = _vjp(f, (x,), torch.ones(()))
    return value, gradient


def tape():
    names = {
        "framework_grad": torch.autograd.grad,
        "zeros_like": torch.zeros_like,
        "is_floating": torch.is_floating_point,
        "cast": lambda x, dtype: x.to(dtype),
    }
    exec(BLOCKS[0], names)
    return names


def at_once():
    names = {"framework_vjp": _vjp, "framework_value_and_grad": _value_and_grad}
    exec(BLOCKS[1], names)
    return names


@pytest.mark.parametrize(("code", "runs"), [(tape, 6), (at_once, 11)])
def test_the_loss_runs_as_often_as_the_page_says(code, runs):
    names, asked = code(), []
    members = {**DERIVED, "vjp": names["vjp"], "value_and_grad": names["value_and_grad"]}
    backend = type("Documented", (adapter.TorchBackend,), members)()

    def loss(params, batch):
        asked.append(1)
        return ((params["w"] * batch - 1) ** 2).sum()

    params, task = {"w": torch.ones(3)}, ms.Task(torch.arange(3.0), torch.ones(3))
    algo = ms.MAML(ms.GradientDescent(0.1, 5))
    found = ms.meta_gradient(algo, loss, params, task, backend=backend)
    assert len(asked) == runs
    wanted = ms.meta_gradient(algo, loss, params, task, backend="torch")
    assert torch.allclose(found.delta["w"], wanted.delta["w"], rtol=1e-6, atol=0)
