"""Every block of docs/pytorch.md runs, after the blocks before it."""

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

TEXT = (Path(__file__).parents[2] / "docs" / "pytorch.md").read_text()


def test_the_blocks_run_and_backward_is_delta():
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        exec(compile(block, "docs/pytorch.md", "exec"), names)
    net, ms, m = names["net"], names["ms"], names["m"]
    net.zero_grad()
    r = ms.batch_meta_gradient(names["algo"], m.loss, dict(net.named_parameters()), names["tasks"])
    r.query_loss.backward()
    for name, p in net.named_parameters():
        assert torch.equal(p.grad, r.delta[name])
