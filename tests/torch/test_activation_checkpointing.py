"""Modules that compute parts of themselves again in the backward pass, against the same modules that keep them."""

import copy
import logging

import pytest

import metaspec as ms

torch = pytest.importorskip("torch")

from torch.utils import checkpoint as checkpointing  # noqa: E402

from metaspec.errors import UnsupportedError  # noqa: E402

from .programs import RATE, STEPS, close, mse, nn, tasks_of, unrolled  # noqa: E402

hooks = torch.autograd.graph.saved_tensors_hooks
BEFORE = dict(vars(checkpointing)), dict(vars(hooks))


class Recomputing(nn.Module):
    """A network whose middle is checkpointed: a method that reads a parameter of its own and a submodule's."""

    def __init__(self, reentrant=None, drop=0.0):
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 1)
        self.scale, self.drop, self.reentrant = nn.Parameter(torch.ones(4)), drop, reentrant

    def block(self, x):
        x = nn.functional.dropout(x, self.drop)
        return nn.functional.dropout(torch.tanh(self.middle(x) * self.scale), self.drop)

    def forward(self, x):
        h = torch.tanh(self.first(x))
        again = self.reentrant is not None
        return self.last(
            checkpointing.checkpoint(self.block, h, use_reentrant=self.reentrant) if again else self.block(h)
        )


class Unpacking(Recomputing):
    """Checkpointing by hooks of its own: in place of the middle's result its input is saved."""

    def forward(self, x):
        if self.reentrant is None:
            return super().forward(x)
        h = torch.tanh(self.first(x))
        z = self.middle(h) * self.scale
        with hooks(lambda _: h.detach(), lambda h: self.block(h).detach()):
            y = torch.tanh(z)
        return self.last(y)


def pair(kind=Recomputing, **options):
    torch.manual_seed(0)
    plain = kind(**options).double()
    recomputing = copy.deepcopy(plain)
    recomputing.reentrant = False
    return plain, recomputing


def forms(algo, m, tasks):
    """The mean delta of the tasks: one by one, batched, compiled."""
    one = [ms.meta_gradient(algo, m.loss, m.params, task).delta for task in tasks]
    yield {name: sum(tree[name] for tree in one) / len(one) for name in one[0]}
    yield ms.batch_meta_gradient(algo, m.loss, m.params, tasks).delta
    yield ms.compile(lambda p, t: ms.batch_meta_gradient(algo, m.loss, p, t))(m.params, tasks).delta


@pytest.mark.parametrize("kind", [Recomputing, Unpacking])
@pytest.mark.parametrize("kept", ["none", "sqrt"])
def test_every_form_is_backpropagation_through_the_module_that_keeps_all(kept, kind, caplog):
    plain, model = pair(kind)
    tasks = tasks_of((3,))
    truth = [unrolled(plain, mse, task) for task in tasks]
    before = {name: x.clone() for name, x in model.state_dict().items()}
    m = ms.from_model(model, mse)
    with caplog.at_level(logging.WARNING, "metaspec"):
        for delta in forms(ms.MAML(ms.GradientDescent(RATE, STEPS), kept), m, tasks):
            close(delta, {name: sum(tree[name] for tree in truth) / len(truth) for name in truth[0]})
    assert sum("task by task" in record.getMessage() for record in caplog.records) == 1
    assert all(torch.equal(before[name], x) for name, x in model.state_dict().items())
    assert (dict(vars(checkpointing)), dict(vars(hooks))) == BEFORE


@pytest.mark.parametrize("kept", ["none", "recompute", "sqrt"])
def test_hooks_around_a_call_get_what_it_saves(kept):
    """Hooks like those of torch.autograd.graph.save_on_cpu, which saves elsewhere what a GPU computes."""
    plain, _ = pair()
    tasks = tasks_of((3,))
    m = ms.from_model(plain, mse)
    algo = ms.MAML(ms.GradientDescent(RATE, STEPS), kept)
    truth = [unrolled(plain, mse, task) for task in tasks]
    packed = []

    def pack(x):
        packed.append(x.detach().numpy().copy())
        return packed[-1]

    with hooks(pack, torch.from_numpy):
        delta = ms.batch_meta_gradient(algo, m.loss, m.params, tasks).delta
    assert packed
    close(delta, {name: sum(tree[name] for tree in truth) / len(truth) for name in truth[0]})
    with hooks(pack, lambda x: 2 * torch.from_numpy(x)):
        other = ms.batch_meta_gradient(algo, m.loss, m.params, tasks).delta
    assert any(not torch.allclose(other[name], delta[name]) for name in delta), "what they return is what is used"


def test_seeded_draws_are_the_same_when_they_are_computed_again():
    plain, model = pair(drop=0.4)
    tasks = [
        ms.Task(*({**part, "seed": torch.tensor(10 * i + j)} for j, part in enumerate(task)))
        for i, task in enumerate(tasks_of((3,)))
    ]
    algo = ms.MAML(ms.GradientDescent(RATE, STEPS))
    kept, again = (ms.from_model(net, mse, seed="seed") for net in (plain, model))
    state = torch.get_rng_state()
    for delta, truth in zip(forms(algo, again, tasks), forms(algo, kept, tasks), strict=True):
        close(delta, truth)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_training_step_is_that_of_the_module_that_keeps_all():
    class Source:
        def task(self, index):
            return tasks_of((3,), 1, seed=index)[0]

        def batch(self, step, size):
            return ms.get_backend("torch").tree_stack([self.task(size * step + i) for i in range(size)])

    def trained(model):
        m = ms.from_model(model, mse)
        algo = ms.MAML(ms.GradientDescent(RATE, STEPS))
        return ms.meta_train(algo, m.loss, m.params, Source(), steps=2, tasks_per_step=2).params

    plain, model = pair()
    close(trained(model), trained(plain))


def test_the_reentrant_form_is_refused_with_the_remedy():
    m = ms.from_model(Recomputing(reentrant=True).double(), mse)
    for algo in (ms.MAML(ms.GradientDescent(RATE, STEPS)), ms.FOMAML(ms.GradientDescent(RATE, STEPS))):
        for call in (
            lambda algo=algo: ms.meta_gradient(algo, m.loss, m.params, tasks_of((3,))[0]),
            lambda algo=algo: ms.batch_meta_gradient(algo, m.loss, m.params, tasks_of((3,))),
            lambda algo=algo: ms.compile(lambda p, t: ms.meta_gradient(algo, m.loss, p, t))(
                m.params, tasks_of((3,))[0]
            ),
        ):
            with pytest.raises(UnsupportedError, match=r"use_reentrant=True.*pass use_reentrant=False"):
                call()
