"""The user's module is as it was after any call; results join the user's recording."""

import copy
import logging

import pytest

import metaspec as ms

torch = pytest.importorskip("torch")

from metaspec.errors import InvalidArgumentError, InvalidTypeError, UnsupportedError  # noqa: E402

from .programs import RATE, STEPS, close, made, mlp, mse, nn, tasks_of, unrolled  # noqa: E402

ALGO = ms.MAML(ms.GradientDescent(RATE, STEPS))


class Twice(nn.Module):
    """One submodule at two paths, which functional_call leaves with the call's tensors in it."""

    def __init__(self):
        super().__init__()
        block = nn.Linear(3, 3)
        self.blocks, self.out = nn.ModuleList([block, block]), nn.Linear(3, 1)

    def forward(self, x):
        for block in self.blocks:
            x = torch.tanh(block(x))
        return self.out(x)


@pytest.mark.parametrize("fails", [False, True])
def test_the_module_keeps_its_objects_and_bits(fails):
    model = Twice().double()
    objects = dict(model.named_parameters(remove_duplicate=False))
    before = copy.deepcopy(model.state_dict())

    def loss(model, batch):
        value = mse(model, batch)
        if fails:
            raise KeyError("of the user's own")
        return value

    m = ms.from_model(model, loss)
    if fails:
        with pytest.raises(KeyError):
            m.loss({name: p + 1 for name, p in m.params.items()}, tasks_of((3,))[0].support)
    else:
        ms.batch_meta_gradient(ALGO, m.loss, m.params, tasks_of((3,)))
    for name, p in model.named_parameters(remove_duplicate=False):
        assert p is objects[name]
        assert type(p) is nn.Parameter
        assert torch.equal(p, before[name])
    copy.deepcopy(model)


def test_attributes_that_a_forward_pass_leaves_are_put_back():
    class Remembering(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.last, self.calls = nn.Linear(3, 1), None, []

        def forward(self, x):
            y = self.inner(x) if self.last is None else self.inner(x) + self.last
            self.last = y
            self.calls.append(1)
            return y

    model = Remembering().double()
    tasks = tasks_of((3,))
    m = ms.from_model(model, mse)
    first = ms.meta_gradient(ALGO, m.loss, m.params, tasks[0]).delta
    close(ms.meta_gradient(ALGO, m.loss, m.params, tasks[0]).delta, first)
    assert model.last is None
    assert model.calls == []


def test_layers_that_are_frozen_keep_their_statistics_and_later_changes_count():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.BatchNorm1d(4), nn.Linear(4, 1)).double()
    model(torch.randn(50, 3, dtype=torch.float64) * 3 + 1)
    model[1].eval()
    model[4].bias.requires_grad_(False)
    batch = tasks_of((3,))[0].support
    m = ms.from_model(model, mse, running_statistics="leave")
    before = copy.deepcopy(model.state_dict())
    value = m.loss(m.params, batch)
    for name, x in model.state_dict().items():
        assert torch.equal(x, before[name]), name
    assert torch.allclose(value, mse(copy.deepcopy(model), batch), rtol=1e-14)
    with torch.no_grad():
        model[4].bias += 1
    assert torch.allclose(m.loss(m.params, batch), mse(copy.deepcopy(model), batch), rtol=1e-14)


def test_modules_that_cannot_be_taken_are_refused():
    with pytest.raises(InvalidArgumentError, match="no shape yet; run the module on one batch first"):
        ms.from_model(nn.LazyLinear(1), mse)
    two = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1, device="meta"))
    with pytest.raises(InvalidArgumentError, match="several devices, cpu, meta"):
        ms.from_model(two, mse)
    with pytest.raises(InvalidTypeError, match="torch.nn.Module|model class"):
        ms.from_model("linear", mse)
    m = ms.from_model(mlp().double(), mse)
    with pytest.raises(InvalidArgumentError, match="no parameter w that requires a gradient"):
        m.loss({"w": torch.ones(1)}, tasks_of((3,))[0].support)
    net = mlp().double()
    for wrong, words in ((net.parameters(), "a generator is no tree"), (list(net.parameters()), "got list")):
        with pytest.raises(InvalidTypeError, match=rf"{words}|dict\(module.named_parameters\(\)\).*{words}"):
            ms.meta_gradient(ALGO, m.loss, wrong, tasks_of((3,))[0])


def test_a_loss_that_fails_while_it_is_recorded_logs_no_traceback(caplog):
    wrong = nn.Linear(7, 1).double()  # the data have three columns
    m = ms.from_model(wrong, mse)
    step = ms.compile(lambda p, t: ms.meta_gradient(ALGO, m.loss, p, t))
    with pytest.raises(RuntimeError, match="reduction dim|cannot be multiplied"):
        step(m.params, tasks_of((3,))[0])
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("form", ["one", "stacked", "ragged"])
def test_backward_of_the_query_loss_adds_delta_and_a_regulariser_counts(form):
    model, loss, tasks = made("linear and tanh")
    m = ms.from_model(model, loss)
    if form == "ragged":
        tasks = [tasks[0], ms.Task(tasks[1].support, {name: x[:3] for name, x in tasks[1].query.items()})]
    given = dict(model.named_parameters())
    r = (
        ms.meta_gradient(ALGO, m.loss, given, tasks[0])
        if form == "one"
        else ms.batch_meta_gradient(ALGO, m.loss, given, tasks)
    )
    (r.query_loss + 0.1 * sum(p.square().sum() for p in model.parameters())).backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, r.delta[name] + 0.2 * p.detach(), rtol=1e-14, atol=1e-14)
        assert not r.delta[name].requires_grad
    r.query_loss.backward()  # once more: gradients accumulate, as autograd's do
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, 2 * r.delta[name] + 0.2 * p.detach(), rtol=1e-14, atol=1e-14)


ADAPTED = {
    "MAML": ALGO,
    "Reptile": ms.Reptile(ms.GradientDescent(RATE, STEPS)),
    "Adam": ms.MAML(ms.Adam(RATE, STEPS)),
    "sqrt": ms.MAML(ms.GradientDescent(RATE, STEPS), checkpoint="sqrt"),
}


@pytest.mark.parametrize("name", ADAPTED)
def test_adapted_parameters_are_differentiated_through_the_inner_loop(name):
    """In the user's own loop: a loss of theta_K, whose gradient is MAML's with the same inner rule."""
    model, loss, tasks = made("linear and tanh")
    m = ms.from_model(model, loss)
    algo = ADAPTED[name]
    theta = ms.adapt(algo, m.loss, dict(model.named_parameters()), tasks[0].support)
    m.loss(theta, tasks[0].query).backward()
    truth = unrolled(model, loss, tasks[0])
    if name == "Adam":
        truth = ms.meta_gradient(algo, m.loss, m.params, tasks[0]).delta
    close({name: p.grad for name, p in model.named_parameters()}, truth)


def test_adapted_parameters_of_a_batch_are_differentiated_task_by_task():
    model, loss, tasks = made("linear and tanh")
    m = ms.from_model(model, loss)
    stacked = ms.get_backend("torch").tree_stack(tasks)
    for chunk in (1, None):
        model.zero_grad()
        r = ms.batch_meta_gradient(ALGO, m.loss, dict(model.named_parameters()), stacked, chunk_size=chunk)
        rows = [m.loss({name: x[i] for name, x in r.adapted.items()}, task.query) for i, task in enumerate(tasks)]
        (sum(rows) / 2).backward()
        close({name: p.grad for name, p in model.named_parameters()}, r.delta)


def test_no_grad_is_respected_and_a_second_derivative_refused():
    model, loss, tasks = made("linear and tanh")
    m = ms.from_model(model, loss)
    given = dict(model.named_parameters())
    for without in (torch.no_grad, torch.inference_mode):
        with without():
            r = ms.meta_gradient(ALGO, m.loss, given, tasks[0])
        assert not r.query_loss.requires_grad
        close(r.delta, unrolled(model, loss, tasks[0]))
    assert not ms.meta_gradient(ALGO, m.loss, m.params, tasks[0]).query_loss.requires_grad
    r = ms.meta_gradient(ALGO, m.loss, given, tasks[0])
    with pytest.raises(UnsupportedError, match="create_graph=True"):
        r.query_loss.backward(create_graph=True)
