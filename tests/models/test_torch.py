"""`from_model` of torch.nn modules, against the modules' own forward and backward passes."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import metaspec as ms  # noqa: E402
from metaspec.errors import InvalidArgumentError, InvalidTypeError, MutationError  # noqa: E402
from tests.models.problems import LR, arrays, close, unchanged  # noqa: E402

TASK = ms.asarray(arrays(), backend="torch")
NN = torch.nn


def mse(model, batch):
    return NN.functional.mse_loss(model(batch["x"]), batch["y"])


def network(*middle):
    torch.manual_seed(0)
    return NN.Sequential(NN.Linear(2, 3), *(middle or (NN.Tanh(),)), NN.Linear(3, 1))


def state(model):
    return {name: x.detach().clone().numpy() for name, x in model.state_dict().items()}


def test_loss_gradient_and_meta_gradient_are_the_modules_own():
    model = network()
    before, m = state(model), ms.from_model(model, mse)
    mse(model, TASK.support).backward()
    B = ms.get_backend("torch")
    value, gradient = B.value_and_grad(m.loss)(m.params, TASK.support)
    close(value.detach(), mse(model, TASK.support).detach())
    for name, p in model.named_parameters():
        close(gradient[name], p.grad)

    adapted = copy.deepcopy(model)  # FO-MAML by hand: a step, then the gradient there
    with torch.no_grad():
        for p, own in zip(adapted.parameters(), model.parameters(), strict=True):
            p -= LR * own.grad
    mse(adapted, TASK.query).backward()
    r = ms.meta_gradient(ms.FOMAML(ms.GradientDescent(LR, 1)), m.loss, m.params, TASK)
    for name, p in adapted.named_parameters():
        close(r.delta[name], p.grad)
    unchanged(before, state(model))


def test_maml_through_a_step_is_autograds():
    m = ms.from_model(network(), mse)
    start = {name: p.clone().requires_grad_() for name, p in m.params.items()}
    first = torch.autograd.grad(m.loss(start, TASK.support), list(start.values()), create_graph=True)
    theta = {name: p - LR * g for (name, p), g in zip(start.items(), first, strict=True)}
    expected = torch.autograd.grad(m.loss(theta, TASK.query), list(start.values()))
    algo = ms.MAML(ms.GradientDescent(LR, 1))
    batch = ms.asarray(ms.Task(*({k: np.stack([v] * 2) for k, v in part.items()} for part in TASK)), backend="torch")
    step = ms.compile(lambda params, tasks: ms.batch_meta_gradient(algo, m.loss, params, tasks))
    for r in (ms.meta_gradient(algo, m.loss, m.params, TASK), step(m.params, batch)):
        for name, g in zip(start, expected, strict=True):
            close(r.delta[name], g)


def test_restore_puts_parameters_in_and_keeps_the_first():
    model = network()
    m = ms.from_model(model, mse)
    first = {name: p.clone() for name, p in m.params.items()}
    restored = m.restore({name: p + 1 for name, p in m.params.items()})
    assert restored is model
    for name, p in model.named_parameters():
        assert torch.equal(p, first[name] + 1)
        assert p.requires_grad
        assert torch.equal(m.params[name], first[name])
    with pytest.raises(InvalidArgumentError, match="restore: expected parameters of shapes"):
        m.restore({"w": torch.zeros(1)})


def test_frozen_parameters_are_constants():
    model = network()
    model[0].weight.requires_grad_(False)
    m = ms.from_model(model, mse)
    assert sorted(m.params) == ["0.bias", "2.bias", "2.weight"]
    close(m.loss(m.params, TASK.support).detach(), mse(model, TASK.support).detach())


def test_tied_weights_stay_tied():
    model = NN.Sequential(NN.Linear(2, 2), NN.Tanh(), NN.Linear(2, 2), NN.Linear(2, 1))
    model[2].weight = model[0].weight
    m = ms.from_model(model, mse)
    assert "2.weight" not in m.params
    moved = {name: p + 0.5 for name, p in m.params.items()}
    expected = mse(m.restore(moved), TASK.support)
    close(m.loss(moved, TASK.support).detach(), expected.detach())


def test_running_statistics_are_refused_or_left():
    model = network(NN.BatchNorm1d(3), NN.Tanh())
    before = state(model)
    with pytest.raises(MutationError, match=r'alters running statistics \(1\).*running_statistics="leave"'):
        ms.from_model(model, mse)
    m = ms.from_model(model, mse, running_statistics="leave")
    tasks = ms.Task(*({k: torch.stack([v, 2 * v]) for k, v in part.items()} for part in TASK))
    r = ms.batch_meta_gradient(ms.MAML(ms.GradientDescent(LR, 2)), m.loss, m.params, tasks)
    assert torch.isfinite(r.delta["1.weight"]).all()
    close(m.loss(m.params, TASK.support).detach(), mse(copy.deepcopy(model).train(), TASK.support).detach())
    unchanged(before, state(model))
    frozen = ms.from_model(model.eval(), mse)  # running statistics as they are
    close(frozen.loss(frozen.params, TASK.support).detach(), mse(model, TASK.support).detach())
    model.train()
    before = state(model)
    with pytest.raises(MutationError, match=r"alters running statistics \(1\)"):
        frozen.loss(frozen.params, TASK.support)
    unchanged(before, state(model))


def test_buffers_that_a_module_alters_are_refused():
    class Counting(NN.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            if self.in_place:
                self.calls += 1
            else:
                self.calls = self.calls + 1
            return x

    for Counting.in_place in (True, False):
        m = ms.from_model(network(Counting()), mse)
        with pytest.raises(MutationError, match="altered the module's buffers 1.calls"):
            m.loss(m.params, TASK.support)
    derived = network()  # with an attribute that is no state, made anew by each forward pass
    derived[0].register_forward_pre_hook(lambda layer, _: setattr(layer, "norm", layer.weight.norm().detach()))
    expected = mse(derived, TASK.support).detach()
    m = ms.from_model(derived, mse)
    close(m.loss(m.params, TASK.support).detach(), expected)


def test_random_numbers_are_refused():
    model = network(NN.Dropout(0.5))
    with pytest.raises(MutationError, match=r"draws random numbers \(1\)"):
        ms.from_model(model, mse)
    m = ms.from_model(model.eval(), mse)
    close(m.loss(m.params, TASK.support).detach(), mse(model, TASK.support).detach())


@pytest.mark.parametrize("loss", [torch.nn.functional.cross_entropy, torch.nn.functional.mse_loss, torch.nn.MSELoss()])
def test_a_loss_of_outputs_and_targets_is_refused_with_what_to_write(loss):
    with pytest.raises(InvalidTypeError, match=r"takes outputs and targets; write lambda model, batch: f\(model\("):
        ms.from_model(torch.nn.Linear(1, 1), loss)


def test_a_module_of_ones_own_may_be_the_loss():
    class Fit(torch.nn.Module):
        def forward(self, model, batch):
            return (model(batch["x"]) - batch["y"]).square().mean()

    net, batch = torch.nn.Linear(1, 1), {"x": torch.ones(2, 1), "y": torch.zeros(2, 1)}
    m = ms.from_model(net, Fit())
    assert m.loss(m.params, batch).item() == Fit()(net, batch).item()


def test_refusals():
    with pytest.raises(InvalidTypeError, match="expected an instance of a model class of .*, got the class Linear"):
        ms.from_model(NN.Linear, mse)
    with pytest.raises(InvalidTypeError, match=r"model class of .*torch\.nn, got dict"):
        ms.from_model({}, mse)
    with pytest.raises(InvalidTypeError, match="variables are for flax.linen alone"):
        ms.from_model(network(), mse, variables={})
    with pytest.raises(InvalidTypeError, match="loss must be a function"):
        ms.from_model(network(), "mse")
    with pytest.raises(InvalidArgumentError, match="running_statistics must be one of 'refuse', 'leave'"):
        ms.from_model(network(), mse, running_statistics="keep")
    with pytest.raises(InvalidArgumentError, match="no parameter that requires a gradient"):
        ms.from_model(network().requires_grad_(False), mse)
