"""`check_loss` on what PyTorch does with losses: scripted functions, custom gradients, modules, draws."""

from typing import Any

import pytest

import metaspec as ms

from .problems import kinds

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional


@torch.jit.script
def scripted(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(x)


class DetachedCube(torch.autograd.Function):
    """The cube, with a right gradient whose own gradient is lost."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Any) -> Any:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return 3 * g * ctx.saved_tensors[0].detach() ** 2


def cube_of_two_terms(x: Any) -> Any:
    """A third of the curvature is lost."""
    return 2 / 3 * x**3 + DetachedCube.apply(x) / 3


def problem(dtype: Any) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(0)
    params = {"w": torch.randn(3, 4, generator=generator, dtype=dtype), "v": torch.ones(4, dtype=dtype)}
    return params, {"x": torch.randn(12, 3, generator=generator, dtype=dtype)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("f", [DetachedCube.apply, cube_of_two_terms])
def test_a_second_derivative_that_is_lost(f: Any, dtype: Any) -> None:
    params, batch = problem(dtype)
    check = ms.check_loss(lambda p, b: (f(b["x"] @ p["w"]) @ p["v"]).square().mean(), params, batch, compiled=False)
    assert ("second-derivative", "error") in kinds(check)
    assert not check.ok
    finding = next(finding for finding in check.findings if finding.kind == "second-derivative")
    assert finding.order == 2
    assert finding.numbers["miss"] > 0.02 * finding.numbers["differences"]


def test_a_scripted_function_is_differentiated_twice() -> None:
    for _ in range(3):  # it is optimised after its first calls
        check = ms.check_loss(lambda p, b: scripted(b["x"] @ p["w"]).square().mean(), *problem(torch.float64))
        assert kinds(check) == {("unused-leaf", "note")}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "layer",
    [nn.Tanh(), nn.ReLU(), nn.GELU(), nn.LayerNorm(8), nn.BatchNorm1d(8, track_running_stats=False), nn.Softplus()],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_that_are_right(layer: Any, dtype: Any) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), layer, nn.Linear(8, 1)).to(dtype)
    m = ms.from_model(net, lambda net, b: F.mse_loss(net(b["x"])[:, 0], b["x"][:, 0]))
    check = ms.check_loss(m.loss, m.params, problem(dtype)[1], compiled=False)
    assert {finding.severity for finding in check.findings} <= {"note"}, check  # a bias before a mean has no effect


def test_a_picture_network_with_pooling() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5))
    m = ms.from_model(net, lambda net, b: F.cross_entropy(net(b["x"]), b["y"]))
    batch = {"x": torch.rand(10, 1, 8, 8).round(), "y": torch.arange(10) % 5}  # black and white: units at their kinks
    assert not ms.check_loss(m.loss, m.params, batch, compiled=False).findings


@pytest.mark.parametrize(
    "loss",
    [
        lambda p, b: F.dropout(b["x"] @ p["w"]).square().mean(),
        lambda p, b: (b["x"] @ p["w"] + torch.randn(4)).square().mean(),
        lambda p, b: F.rrelu(b["x"] @ p["w"], training=True).mean(),
    ],
)
def test_draws(loss: Any) -> None:
    assert ("random", "error") in kinds(ms.check_loss(loss, *problem(torch.float32)))


def test_a_function_without_a_second_derivative() -> None:
    check = ms.check_loss(lambda p, b: torch.cdist(b["x"] @ p["w"], p["v"][None]).mean(), *problem(torch.float32))
    assert kinds(check) >= {("no-second-derivative", "error")}


def test_running_statistics_of_a_layer_that_the_loss_closes_over() -> None:
    norm = nn.BatchNorm1d(4)
    params, batch = problem(torch.float32)
    check = ms.check_loss(lambda p, b: norm(b["x"] @ p["w"]).square().mean(), params, batch)
    assert not check.ok
    assert "running_mean" in str(check)


def test_a_straight_through_estimator_is_a_warning() -> None:
    def loss(p: Any, b: Any) -> Any:
        w = p["w"] + (torch.round(p["w"]) - p["w"]).detach()
        return (b["x"] @ w).square().mean()

    check = ms.check_loss(loss, *problem(torch.float64))
    assert ("gradient", "warning") in kinds(check)
    assert check.ok


def test_the_global_generator_and_the_default_dtype_are_as_before() -> None:
    state, dtype = torch.get_rng_state(), torch.get_default_dtype()
    ms.check_loss(lambda p, b: (b["x"] @ p["w"]).tanh().mean(), *problem(torch.float32))
    assert torch.equal(state, torch.get_rng_state())
    assert dtype == torch.get_default_dtype()
