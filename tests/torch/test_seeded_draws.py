"""Dropout and the like as functions of a seed in the batch: one meta-gradient in every way of computing it."""

import pytest

import metaspec as ms

torch = pytest.importorskip("torch")

from metaspec.errors import InvalidArgumentError, InvalidTypeError, MutationError  # noqa: E402
from metaspec_torch.seeded_draws import SeededDraws  # noqa: E402

from .programs import RATE, close, nn, tasks_of  # noqa: E402

F = nn.functional
STEPS = 4


class DrawingLayers(nn.Module):
    """Dropout of a layer, of a function, of attention and of a recurrent layer; noise; RReLU."""

    def __init__(self):
        super().__init__()
        self.inner, self.out, self.drop, self.act = nn.Linear(3, 4), nn.Linear(4, 1), nn.Dropout(0.3), nn.RReLU()
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.3, batch_first=True)
        self.recurrent = nn.GRU(4, 4, num_layers=2, dropout=0.5, batch_first=True)

    def forward(self, x):
        h = self.act(self.drop(self.inner(x)))[None]
        h = h + self.attention(h, h, h)[0] + self.recurrent(h)[0]
        return self.out(F.dropout(h[0], 0.2) + 0.1 * torch.randn_like(h[0]))


def mse(net, batch):
    return F.mse_loss(net(batch["x"]), batch["y"])


def seeded(tasks, first=0):
    return [
        ms.Task(*({**part, "seed": torch.tensor(first + 2 * i + j)} for j, part in enumerate(task)))
        for i, task in enumerate(tasks)
    ]


@pytest.fixture(scope="module")
def problem():
    torch.manual_seed(0)
    return ms.from_model(DrawingLayers().double(), mse, seed="seed"), seeded(tasks_of((3,)))


def truth(net, task):
    """By autograd through the unrolled loop, the draws of each evaluation by the seed of its batch."""
    start = {name: p.detach().clone().requires_grad_() for name, p in net.named_parameters()}

    def value(params, batch):
        with SeededDraws(batch["seed"]):
            return F.mse_loss(torch.func.functional_call(net, params, (batch["x"],)), batch["y"])

    theta = start
    for _ in range(STEPS):
        gradients = torch.autograd.grad(value(theta, task.support), list(theta.values()), create_graph=True)
        theta = {name: p - RATE * g for (name, p), g in zip(theta.items(), gradients, strict=True)}
    return dict(zip(start, torch.autograd.grad(value(theta, task.query), list(start.values())), strict=True))


def test_one_meta_gradient_however_it_is_computed(problem):
    m, tasks = problem
    before = torch.get_rng_state()
    expected = truth(m.restore(m.params), tasks[0])
    for checkpoint in ("none", "recompute", "sqrt"):
        algo = ms.MAML(ms.GradientDescent(RATE, STEPS), checkpoint=checkpoint)
        r = ms.meta_gradient(algo, m.loss, m.params, tasks[0])
        close(r.delta, expected)
    r = ms.batch_meta_gradient(algo, m.loss, m.params, tasks)
    alone = [ms.meta_gradient(algo, m.loss, m.params, task) for task in tasks]
    mean = {name: sum(one.delta[name] for one in alone) / len(tasks) for name in m.params}
    close(r.delta, mean)
    assert torch.equal(torch.get_rng_state(), before)
    assert len({float(one.query_loss) for one in alone}) == len(tasks)


def test_compiled_draws_are_those_of_the_call_s_seeds(problem):
    m, _ = problem
    algo = ms.MAML(ms.GradientDescent(RATE, 1))
    step = ms.compile(lambda p, t: ms.meta_gradient(algo, m.loss, p, t))
    for first in (0, 10):
        (task,) = seeded(tasks_of((3,))[:1], first)
        close(step(m.params, task).delta, ms.meta_gradient(algo, m.loss, m.params, task).delta)


def test_the_numbers_are_of_their_distributions():
    with SeededDraws(torch.tensor(2**40 + 3)):
        u, n, e = torch.rand(20_000), torch.randn(20_000), torch.empty(20_000).exponential_(2.0)
        kept, again = torch.bernoulli(torch.full((20_000,), 0.3)), torch.rand(20_000)
    deviation = 5 / 20_000**0.5  # of a mean of variance 1
    assert abs(u.mean() - 0.5) < deviation
    assert abs(u.var() - 1 / 12) < deviation
    assert 0 < u.min() < u.max() < 1
    assert abs(n.mean()) < deviation
    assert abs(n.var() - 1) < 2 * deviation
    assert abs(e.mean() - 0.5) < deviation
    assert abs(kept.mean() - 0.3) < deviation
    assert abs(torch.corrcoef(torch.stack([u, again]))[0, 1]) < deviation
    assert abs(torch.corrcoef(torch.stack([u[1:], u[:-1]]))[0, 1]) < deviation


def test_refusals(problem):
    m, tasks = problem
    without = tasks_of((3,))[0]
    with pytest.raises(InvalidArgumentError, match="seed='seed' names an entry of the batch"):
        m.loss(m.params, without.support)
    with pytest.raises(InvalidTypeError, match=r"scalar integer tensor, got shape \(1,\)"):
        m.loss(m.params, {**without.support, "seed": torch.tensor([1])})
    other = ms.from_model(nn.Linear(3, 1).double(), lambda n, b: mse(n, b) * torch.randperm(2)[0], seed="seed")
    with pytest.raises(MutationError, match="randperm, which has no rule"):
        other.loss(other.params, tasks[0].support)
