"""Every block of docs/pytorch.md runs, after the blocks before it; those of another package where it is installed."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

OPTIONAL = ("lightning", "transformers")
BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs" / "pytorch.md").read_text(), re.DOTALL)


def run(wanted):
    names = {}
    for block in BLOCKS:
        needs = next(
            (package for package in OPTIONAL if f"import {package}\n" in block or f"from {package} " in block), ""
        )
        if wanted(needs, block):
            exec(compile(block, "docs/pytorch.md", "exec"), names)
    return names


def test_the_blocks_run_and_backward_is_delta():
    assert len(BLOCKS) == 9
    names = run(lambda needs, block: not needs)
    net, ms, m = names["net"], names["ms"], names["m"]
    net.zero_grad()
    r = ms.batch_meta_gradient(names["algo"], m.loss, dict(net.named_parameters()), names["tasks"])
    r.query_loss.backward()
    for name, p in net.named_parameters():
        assert torch.equal(p.grad, r.delta[name])


@pytest.mark.skipif(find_spec("lightning") is None, reason="lightning is an optional third-party package")
def test_lightning_takes_adam_s_steps():
    names = run(lambda needs, block: needs == "lightning" or "import torch\n" in block or "class Episodes" in block)
    learner = names["MetaLearner"](names["net"])  # after one epoch of two steps, at 1e-3 each
    for name, p in learner.model.params.items():
        moved = p - names["m"].params[name]
        assert 1e-4 < moved.abs().max() < 2.1e-3


@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is an optional third-party package")
def test_a_bert_s_meta_gradient_is_autograd_s_through_the_loop():
    names = run(lambda needs, block: needs == "transformers" or "import torch\n" in block)
    text, few = names["text"], names["few"]
    start = {name: p.clone().requires_grad_() for name, p in text.params.items()}
    theta = start
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):  # the fused one has no second derivative
        for _ in range(2):
            slopes = torch.autograd.grad(text.loss(theta, few), list(theta.values()), create_graph=True)
            theta = {name: p - 0.01 * g for (name, p), g in zip(theta.items(), slopes, strict=True)}
        truth = torch.autograd.grad(text.loss(theta, few), list(start.values()))
    for name, expected in zip(start, truth, strict=True):
        torch.testing.assert_close(names["r"].delta[name], expected, rtol=1e-4, atol=1e-6)
