"""Losses that `torch.vmap` would compute otherwise, or at a higher price, and what a trace cannot follow."""

import logging

import pytest

import metaspec as ms

torch = pytest.importorskip("torch")

from metaspec.errors import InvalidTypeError  # noqa: E402
from metaspec_torch.stacked_tensor import StackedTensor  # noqa: E402

from .programs import RATE, STEPS, close, mlp, mse, nn, tasks_of, unrolled  # noqa: E402

ALGO = ms.MAML(ms.GradientDescent(RATE, STEPS))


class Reversing(nn.Module):
    """A network with a hook on a tensor of its forward pass, which turns the gradient of all beneath it around."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(3, 4), nn.Linear(4, 1)

    def forward(self, x):
        h = torch.tanh(self.inner(x))
        if h.requires_grad:
            h.register_hook(torch.neg)
        return self.outer(h)


def halved():
    model = mlp()
    model[1].register_full_backward_hook(lambda module, into, out: (0.5 * into[0],))
    return model


@pytest.mark.parametrize("first", ["eager", "compiled"])
@pytest.mark.parametrize("make", [Reversing, halved])
def test_hooks_on_gradients_count_in_every_form(make, first, caplog):
    torch.manual_seed(0)
    model, tasks = make().double(), tasks_of((3,))
    truth = [unrolled(model, mse, task) for task in tasks]
    mean = {name: sum(tree[name] for tree in truth) / len(truth) for name in truth[0]}
    m = ms.from_model(model, mse)
    eager = lambda p, t: ms.batch_meta_gradient(ALGO, m.loss, p, t)  # noqa: E731
    with caplog.at_level(logging.WARNING, "metaspec"):
        for form in (eager, ms.compile(eager))[:: 1 if first == "eager" else -1]:
            close(form(m.params, tasks).delta, mean)
    assert [r.getMessage() for r in caplog.records if "task by task" in r.getMessage()] == [
        "batch_meta_gradient: the loss runs task by task, as torch.vmap does not take it: its gradient is another "
        "there than by itself; hooks on gradients are not called there"
    ]


def test_a_parameter_made_of_a_result_is_not_recorded():
    class Rebinding(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 1)

        def forward(self, x):
            self.inner.weight = nn.Parameter(0.9 * self.inner.weight)
            return self.inner(x)

    m = ms.from_model(Rebinding().double(), mse)
    ms.batch_meta_gradient(ALGO, m.loss, m.params, tasks_of((3,)))
    with pytest.raises(InvalidTypeError, match=r"torch\.nn\.Parameter of a computed tensor.*uncompiled"):
        ms.compile(lambda p, t: ms.batch_meta_gradient(ALGO, m.loss, p, t))(m.params, tasks_of((3,)))


@pytest.mark.parametrize(("width", "vectorised"), [(8, True), (40_000, False)])
def test_an_eager_loss_that_makes_much_is_evaluated_task_by_task(width, vectorised):
    """Sums over `width` functions of x: the closed form is that of one, whatever the width."""
    shapes = []

    def loss(params, batch):
        shapes.append(isinstance(batch["x"], StackedTensor))
        return ((params["w"] * batch["x"]).expand(width, -1) * 1.0).square().mean()

    tasks = [ms.Task({"x": x}, {"x": 2 * x}) for x in torch.randn(3, 4, dtype=torch.float64).unbind()]
    params = {"w": torch.tensor(1.5, dtype=torch.float64)}
    for _ in range(2):
        shapes.clear()
        r = ms.batch_meta_gradient(ms.MAML(ms.GradientDescent(RATE, 1)), loss, params, tasks)
    a = torch.stack([task.support["x"].square().mean() for task in tasks])
    expected = (8 * a * 1.5 * (1 - 2 * RATE * a) ** 2).mean()
    close(r.delta, {"w": expected})
    assert shapes == ([True] * 2 if vectorised else [False] * 2 * len(tasks))


def test_a_larger_query_set_does_not_change_how_a_loss_is_evaluated():
    stacked = []

    def loss(params, batch):
        stacked.append(isinstance(batch["x"], StackedTensor))
        width = 8 if len(batch["x"]) == 4 else 40_000
        return ((params["w"] * batch["x"]).expand(width, -1) * 1.0).square().mean()

    draws = torch.randn(3, 9, dtype=torch.float64).unbind()
    tasks = [ms.Task({"x": x[:4]}, {"x": x[4:]}) for x in draws]
    params = {"w": torch.tensor(1.5, dtype=torch.float64)}
    for _ in range(2):
        stacked.clear()
        ms.batch_meta_gradient(ms.MAML(ms.GradientDescent(RATE, 1)), loss, params, tasks)
    assert stacked == [True, True]
