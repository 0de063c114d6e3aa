"""How many tasks are computed at once: the rule, and what is checked."""

import numpy as np
import pytest

import metaspec as ms
from metaspec.algorithms.meta_batch import chosen_chunk, each_task
from tests.core.problems import mlp, mlp_loss, on

MIB = 2**20


class Roomy:
    """A backend with room for eight MiB of parameters at a time."""

    def __init__(self, room):
        self.room = room

    def __getattr__(self, name):
        return getattr(ms.get_backend("numpy"), name)

    @property
    def tuning(self):
        return self

    def batch_bytes(self, params):
        return self.room


@pytest.mark.parametrize(
    ("dtype", "count", "chunk"),
    [
        ("float32", 6, 6),
        ("float32", 8, 8),  # 1 MiB each
        ("float32", 9, 5),  # two chunks of about one size
        ("float32", 32, 8),
        ("float64", 32, 4),
        ("longdouble", 32, 2),
    ],
)
def test_chunks_fill_the_room_and_are_of_one_size(dtype, count, chunk):
    params = {"w": np.zeros((512, 256), dtype), "b": np.zeros((2, 256, 256), dtype)}
    assert chosen_chunk(Roomy(8 * MIB), params, count) == chunk


def test_what_does_not_fit_goes_one_by_one_and_without_a_limit_all_go_at_once():
    params = {"w": np.zeros((1024, 1024)), "empty": np.zeros(0)}
    assert chosen_chunk(Roomy(MIB), params, 5) == 1
    assert chosen_chunk(Roomy(None), params, 5) == 5
    assert chosen_chunk(Roomy(MIB), {"empty": np.zeros(0)}, 5) == 5


def test_the_rule_is_what_is_computed(monkeypatch):
    B = ms.get_backend("numpy")
    params, task = mlp()
    sizes = []

    def seen(f):
        return lambda stacked: sizes.append(stacked.support["x"].shape[0]) or plain(f)(stacked)

    plain = B.vmap
    algo = ms.MAML(ms.GradientDescent(0.1, 1))
    with on(B, (params, [task] * 5)) as (p, tasks):
        one = sum(leaf.nbytes for leaf in params.values())
        monkeypatch.setattr(B, "vmap", seen, raising=False)
        monkeypatch.setattr(B.tuning, "batch_bytes", lambda params: 3 * one, raising=False)
        ms.batch_meta_gradient(algo, mlp_loss, p, tasks)
        assert sizes == [3, 2]
        ms.batch_meta_gradient(algo, mlp_loss, p, tasks, chunk_size=4)
        assert sizes == [3, 2, 4, 1]


def test_jax_takes_many_tasks_at_once_where_calls_are_dear():
    jax = pytest.importorskip("jax")
    if jax.default_backend() != "cpu":
        pytest.skip("the rule is one of processors: an accelerator takes all tasks at once")
    B = ms.get_backend("jax")
    params = {"w": jax.numpy.zeros((512, 512), "float32")}
    chunks = []
    look = lambda params: chunks.append(chosen_chunk(B, params, 16)) or params  # noqa: E731
    look(params)
    jax.vmap(look)({"w": jax.numpy.zeros((2, 512, 512), "float32")})
    jax.jit(look)(params)
    assert chunks == [16, 16, 1]


@pytest.mark.parametrize("size", [0, -1])
def test_chunks_hold_a_task_at_least(size):
    params, task = mlp()
    with pytest.raises(ms.errors.InvalidArgumentError, match="batch_meta_gradient: chunk_size must be >= 1"):
        ms.batch_meta_gradient(ms.MAML(ms.GradientDescent(0.1, 1)), mlp_loss, params, [task], chunk_size=size)


def test_what_no_task_changes_is_stacked_too(B):
    params, task = mlp()
    none = ms.FOMAML(ms.GradientDescent(0.1, 0))
    stacked = ms.Task(*({name: np.stack([leaf] * 2) for name, leaf in part.items()} for part in task))
    with on(B, (params, stacked)) as (p, t):
        f = ms.compile(lambda p, t: ms.batch_meta_gradient(none, mlp_loss, p, t).adapted, backend=B)
        adapted = {name: B.to_numpy(leaf) for name, leaf in f(p, t).items()}
    assert all(
        (adapted[name] == leaf).all() and adapted[name].shape == (2, *leaf.shape) for name, leaf in params.items()
    )


@pytest.mark.parametrize(("room", "sizes"), [(None, [5]), (3, [3, 2]), (1, [])])
def test_each_task_is_computed_in_chunks_where_loops_are_not_written_out(monkeypatch, room, sizes):
    B = ms.get_backend("numpy")
    tasks = {"x": np.arange(10.0).reshape(5, 2), "y": np.arange(5.0)}
    params = {"w": np.array([2.0])}
    seen, plain = [], B.tuning.map_tasks
    monkeypatch.setattr(B.tuning, "map_tasks", lambda f: lambda t: seen.append(len(t["y"])) or plain(f)(t))
    monkeypatch.setattr(B.tuning, "batch_bytes", lambda params: None if room is None else 8 * room)
    monkeypatch.setattr(B.tuning, "unroll_limit", lambda loop="path": 8)
    found = each_task(B, lambda task: (task["x"] * params["w"], task["y"].sum()), params, tasks)
    assert found[0].tolist() == (2 * tasks["x"]).tolist()
    assert found[1].tolist() == tasks["y"].tolist()
    assert seen == sizes
    monkeypatch.setattr(B.tuning, "unroll_limit", lambda loop="path": None)
    each_task(B, lambda task: task["y"], params, tasks)
    assert seen == [*sizes, 5]
