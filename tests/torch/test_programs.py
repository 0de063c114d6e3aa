"""Every form of a meta-gradient of programs that plain autograd differentiates twice, against backpropagation."""

import logging

import pytest

import metaspec as ms

torch = pytest.importorskip("torch")

from torch.utils.checkpoint import checkpoint  # noqa: E402

from metaspec.errors import InvalidTypeError, LossError, MutationError, UnsupportedError  # noqa: E402

from .programs import NOT_RECORDED, PROGRAMS, RATE, STEPS, close, made, mlp, mse, nn, tasks_of, unrolled  # noqa: E402

ALGO = ms.MAML(ms.GradientDescent(RATE, STEPS))


def mean_of(trees):
    return {name: sum(tree[name] for tree in trees) / len(trees) for name in trees[0]}


@pytest.mark.parametrize("name", PROGRAMS)
def test_eager_and_batched_are_backpropagation(name):
    model, loss, tasks = made(name)
    truth = [unrolled(model, loss, task) for task in tasks]
    m = ms.from_model(model, loss)
    for _ in range(3):  # TorchScript's executor changes its mind at the second and the third call
        close(ms.meta_gradient(ALGO, m.loss, m.params, tasks[0]).delta, truth[0])
        close(ms.batch_meta_gradient(ALGO, m.loss, m.params, tasks).delta, mean_of(truth))


@pytest.mark.parametrize("name", PROGRAMS)
def test_compiled_is_backpropagation(name):
    model, loss, tasks = made(name)
    m = ms.from_model(model, loss)
    compiled = ms.compile(lambda p, t: ms.batch_meta_gradient(ALGO, m.loss, p, t))
    stacked = ms.get_backend("torch").tree_stack(tasks)
    if name in NOT_RECORDED:
        with pytest.raises(InvalidTypeError, match="looks at the values of its arguments"):
            compiled(m.params, stacked)
    else:
        close(compiled(m.params, stacked).delta, mean_of([unrolled(model, loss, task) for task in tasks]))


def test_a_batched_loss_may_take_its_own_gradient_by_the_parameters():
    def penalised(model, batch):
        value = mse(model, batch)
        slopes = torch.autograd.grad(value, [model[0].weight, model[2].bias], create_graph=True)
        return value + sum(slope.square().sum() for slope in slopes)

    model, _, tasks = made("linear and tanh")
    m = ms.from_model(model, penalised)
    found = ms.batch_meta_gradient(ALGO, m.loss, m.params, tasks).delta
    close(found, mean_of([unrolled(model, penalised, task) for task in tasks]))


def test_a_scripted_module_is_taken_as_it_is():
    model, loss, tasks = made("linear and tanh")
    scripted = torch.jit.script(model)
    weight = dict(scripted.named_parameters())["0.weight"]
    m = ms.from_model(scripted, loss)
    for _ in range(3):
        close(ms.meta_gradient(ALGO, m.loss, m.params, tasks[0]).delta, unrolled(model, loss, tasks[0]))
    assert dict(scripted.named_parameters())["0.weight"] is weight


def test_activation_checkpointing_of_plain_functions():
    model, _, tasks = made("linear and tanh")
    params = {name: p.detach().clone() for name, p in model.named_parameters()}

    def of_params(params, batch, wrapped):
        hidden = lambda x: torch.tanh(x @ params["0.weight"].T + params["0.bias"])  # noqa: E731
        h = checkpoint(hidden, batch["x"], use_reentrant=False) if wrapped else hidden(batch["x"])
        return (h @ params["2.weight"].T + params["2.bias"] - batch["y"]).square().mean()

    truth = [unrolled(model, mse, task) for task in tasks]
    loss = lambda p, b: of_params(p, b, True)  # noqa: E731
    close(ms.meta_gradient(ALGO, loss, params, tasks[0]).delta, truth[0])
    close(ms.batch_meta_gradient(ALGO, loss, params, tasks).delta, mean_of(truth))


def test_a_vectorised_loss_is_silent_and_a_looped_one_says_so_once(caplog):
    with caplog.at_level(logging.WARNING, "metaspec"):
        for name, lines in (("linear and tanh", 0), ("GRU", 1)):
            caplog.clear()
            model, loss, tasks = made(name)
            m = ms.from_model(model, loss)
            for _ in range(2):
                ms.batch_meta_gradient(ALGO, m.loss, m.params, tasks)
            assert len([r for r in caplog.records if "task by task" in r.getMessage()]) == lines


def test_no_second_derivative_is_refused_with_the_operation_and_a_way_round():
    tasks = tasks_of((3,))
    m = ms.from_model(nn.Linear(3, 2).double(), lambda n, b: torch.cdist(n(b["x"]), n(-b["x"])).mean())
    with pytest.raises(UnsupportedError, match=r"no second derivative of _cdist_backward.*use_mm_for_euclid_dist"):
        ms.meta_gradient(ALGO, m.loss, m.params, tasks[0])
    ms.meta_gradient(ms.FOMAML(ALGO.inner), m.loss, m.params, tasks[0])  # needs none


def test_a_value_that_a_derivative_needs_and_the_loss_overwrites_is_told():
    def loss(model, batch):
        h = model(batch["x"]).exp()
        h[:, 0] = h[:, 1] * h[:, 0]
        return h.mean()

    tasks = tasks_of((3,))
    m = ms.from_model(nn.Linear(3, 2).double(), loss)
    for call in (
        lambda: ms.meta_gradient(ALGO, m.loss, m.params, tasks[0]),
        lambda: ms.batch_meta_gradient(ALGO, m.loss, m.params, tasks),
        lambda: ms.compile(lambda p, t: ms.meta_gradient(ALGO, m.loss, p, t))(m.params, tasks[0]),
    ):
        with pytest.raises(LossError, match=r"changes a tensor in place.*torch.where\(mask, a, x\)"):
            call()


def test_what_draws_is_refused_by_what_it_does():
    class Drawing(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 1)

        def forward(self, x):
            return torch.nn.functional.dropout(self.inner(x), 0.5, self.training)

    tasks = tasks_of((3,))
    for model in (mlp(nn.RReLU()), Drawing()):
        m = ms.from_model(model.double(), mse)
        before = torch.get_rng_state()
        for call in (
            lambda m=m: ms.meta_gradient(ALGO, m.loss, m.params, tasks[0]),
            lambda m=m: ms.batch_meta_gradient(ALGO, m.loss, m.params, tasks),
            lambda m=m: ms.compile(lambda p, t: ms.meta_gradient(ALGO, m.loss, p, t))(m.params, tasks[0]),
        ):
            with pytest.raises(MutationError, match="draws random numbers"):
                call()
        assert torch.equal(torch.get_rng_state(), before)
        model.eval()
        ms.meta_gradient(ALGO, m.loss, m.params, tasks[0])


def test_numbers_drawn_by_python_are_noticed():
    import random

    m = ms.from_model(mlp().double(), lambda n, b: mse(n, b) * random.random())
    for _ in range(2):
        with pytest.raises(MutationError, match="two evaluations of the loss differ"):
            ms.meta_gradient(ALGO, m.loss, m.params, tasks_of((3,))[0])


@pytest.mark.parametrize("write", [lambda w: w.data.mul_(0.5), lambda w: w.data[0].zero_(), lambda w: w.data.T.add_(1)])
@pytest.mark.parametrize("where", ["params", "batch"])
@pytest.mark.parametrize("form", ["one", "stacked", "in chunks of one", "compiled"])
def test_writes_behind_autograd_are_refused_and_spare_the_caller(write, where, form):
    def loss(params, batch):
        write(params["w"] if where == "params" else batch[0])
        return ((batch[0] @ params["w"] - batch[1]) ** 2).mean()

    def ones(*shape):
        return torch.ones(2, *shape, dtype=torch.float64)

    params, tasks = {"w": ones(3)}, ms.Task(*((ones(n, 2), 0 * ones(n, 3)) for n in (3, 4)))
    one = ms.Task(*((x[0], y[0]) for x, y in tasks))
    call = {
        "one": lambda: ms.meta_gradient(ALGO, loss, params, one),
        "stacked": lambda: ms.batch_meta_gradient(ALGO, loss, params, tasks),
        "in chunks of one": lambda: ms.batch_meta_gradient(ALGO, loss, params, tasks, chunk_size=1),
        "compiled": lambda: ms.compile(lambda p, t: ms.meta_gradient(ALGO, loss, p, t))(params, one),
    }[form]
    with pytest.raises(MutationError, match="in place"):
        call()
    assert torch.equal(params["w"], ones(3))
    assert torch.equal(tasks.support[0], ones(3, 2))


def test_settings_are_as_before_after_a_call_and_after_an_error():
    def set_now():
        return (
            torch.backends.cuda.flash_sdp_enabled(),
            torch.backends.cuda.mem_efficient_sdp_enabled(),
            torch.backends.mha.get_fastpath_enabled(),
            torch.is_grad_enabled(),
        )

    before, seen = set_now(), []

    def loss(params, batch):
        seen.append(set_now())
        raise ValueError("of the user's own")

    with pytest.raises(ValueError, match="of the user's own"):
        ms.meta_gradient(ALGO, loss, {"w": torch.ones(2)}, tasks_of((3,))[0])
    assert seen[0][:3] == (False, False, False)
    assert set_now() == before
