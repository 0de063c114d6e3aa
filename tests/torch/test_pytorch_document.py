"""docs/pytorch.md runs, and what its blocks leave is right; those of another package where it is installed."""

import pytest

from tests.house.code_blocks import run_page

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("page")
        patch.chdir(folder)
        return run_page("docs/pytorch.md", folder)[0]


def test_the_blocks_run_and_backward_is_delta(names):
    net, ms, m = names["net"], names["ms"], names["m"]
    net.zero_grad()
    r = ms.batch_meta_gradient(names["algo"], m.loss, dict(net.named_parameters()), names["tasks"])
    r.query_loss.backward()
    for name, p in net.named_parameters():
        assert torch.equal(p.grad, r.delta[name])


def test_lightning_takes_adam_s_steps(names):
    if "MetaLearner" not in names:
        pytest.skip("lightning is an optional third-party package")
    before = {name: p.detach().clone() for name, p in names["net"].named_parameters()}
    trainer = names["lightning"].Trainer(max_epochs=1, accelerator="cpu", **names["quiet"])
    trainer.fit(names["MetaLearner"](names["net"]), names["loader"])  # an epoch of two steps, at 1e-3 each
    for name, p in names["net"].named_parameters():
        moved = p - before[name]
        assert 1e-4 < moved.abs().max() < 2.1e-3


def test_a_bert_s_meta_gradient_is_autograd_s_through_the_loop(names):
    if "text" not in names:
        pytest.skip("transformers is an optional third-party package")
    text, few = names["text"], names["few"]
    start = {name: p.clone().requires_grad_() for name, p in text.params.items()}
    r = names["ms"].meta_gradient(names["algo"], text.loss, text.params, names["ms"].Task(few, few))
    theta = start
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):  # the fused one has no second derivative
        for _ in range(2):
            slopes = torch.autograd.grad(text.loss(theta, few), list(theta.values()), create_graph=True)
            theta = {name: p - 0.01 * g for (name, p), g in zip(theta.items(), slopes, strict=True)}
        truth = torch.autograd.grad(text.loss(theta, few), list(start.values()))
    for name, expected in zip(start, truth, strict=True):
        torch.testing.assert_close(r.delta[name], expected, rtol=1e-4, atol=1e-6)
