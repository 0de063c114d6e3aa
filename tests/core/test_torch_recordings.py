"""What PyTorch's compiled functions replay: fewer operations than were recorded, and the same results."""

import pytest

import metaspec as ms
from metaspec.data import Sinusoid
from metaspec.errors import InvalidTypeError
from metaspec_benchmarks.benchmark_cases import SINUSOID
from metaspec_conformance.judging.error_model import ROUNDOFF, TOLERANCE, relative_error

torch = pytest.importorskip("torch")

from torch._subclasses import FakeTensorMode  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402

from metaspec_torch import compiling, torchscript  # noqa: E402
from metaspec_torch.simplifying import simplify  # noqa: E402


def numbers(*shape):
    return torch.arange(1.0, 1.0 + torch.Size(shape).numel()).reshape(shape).sin()


def operations(graph):
    return [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]


def simplified(f, *args):
    graph = make_fx(f)(*args)
    simplify(graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


FUNCTIONS = {
    "detours": lambda x: (x.view(3, 2, 2).view(3, 4).expand(3, 4).t().t().transpose(0, 1).transpose(1, 0) * 2,),
    "transposed, then viewed": lambda x: (x.t().reshape(12).view(2, 6) + 1, x.t().t().reshape(2, 6)),
    "other dimensions": lambda x: (x.view(3, 2, 2).transpose(0, 1).transpose(1, 2).contiguous(),),
    "repetitions": lambda x: (x.sin() + x.sin(), x.sum(0) - x.sum(1, keepdim=True), x * 2 + x * 2.0),
    "constants": lambda x: (x * torch.ones_like(x) + torch.arange(4.0), torch.zeros(2) + 1, torch.full_like(x, 3)),
    "results of one kind": lambda x: (x.sin(), x.sin(), x, x.view(12), torch.ones(3)),
    "writing": lambda x: (torch.zeros(3, 4).add_(x).mul_(2), x.sin(), x.sin()),
    "products": lambda x: torch.func.vmap(lambda row: (row.view(2, 2) @ row.view(2, 2).T,))(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_simpler_recording_gives_the_same_bits(name):
    f, x = FUNCTIONS[name], numbers(3, 4)
    graph = simplified(f, x)
    for given in (x, numbers(4, 3).t().contiguous() + 1):
        for found, wanted in zip(graph(given), f(given), strict=True):
            assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
            assert torch.equal(found, wanted)


def test_what_changes_nothing_is_gone():
    assert operations(simplified(FUNCTIONS["detours"], numbers(3, 4))) == ["aten.mul.Tensor"]
    assert operations(simplified(lambda x: (x.sin() + x.sin(),), numbers(2))) == ["aten.sin.default", "aten.add.Tensor"]
    assert len(operations(simplified(lambda x: (x * 2 + x * 2.0,), numbers(2)))) == 3  # 2 and 2.0 promote differently
    assert operations(simplified(lambda x: (x + torch.ones(2),), numbers(2))) == ["aten.add.Tensor"]


def test_a_meta_gradient_loses_half_of_its_operations():
    B, algo = ms.get_backend("torch"), ms.MAML(ms.GradientDescent(0.01, 5))
    params = ms.asarray(SINUSOID.init(0), backend="torch")
    tasks = ms.asarray(Sinusoid().batch(0, 4), backend="torch")
    leaves, structure = B.tree_flatten((params, tasks))

    def flat(*leaves):
        delta = ms.batch_meta_gradient(algo, SINUSOID.loss, *B.tree_unflatten(structure, leaves), backend=B).delta
        return tuple(B.tree_flatten(delta)[0])

    all_of_it = make_fx(flat)(*leaves)
    recorded = compiling.recorded(flat, leaves)
    assert len(operations(recorded)) < 0.55 * len(operations(all_of_it))
    for found, wanted in zip(recorded(*leaves), all_of_it(*leaves), strict=True):
        # Matrix products of other strides are rounded otherwise on some processors.
        assert relative_error(found.numpy(), wanted.numpy()) <= 2 * TOLERANCE * ROUNDOFF["float32"]


def test_chance_is_not_taken_for_repetition():
    graph = simplified(lambda x: (torch.rand(3), torch.rand(3), x.bernoulli(0.5)), numbers(3))
    one, other, _ = graph(numbers(3))
    assert not torch.equal(one, other)
    assert not torch.equal(graph(numbers(3))[0], one)


def test_results_may_be_written_to():
    """What is kept from call to call, and what was computed once for two results, is not theirs."""
    f = ms.compile(lambda x: [torch.ones(3), x.sin(), x.sin(), x.sin().view(3)], backend="torch")
    wanted = [leaf.clone() for leaf in f(numbers(3))]
    for _ in range(3):
        found = f(numbers(3))
        for number, leaf in enumerate(found):
            leaf.mul_(0)
            assert all(torch.equal(a, b) for a, b in zip(found[number + 1 :], wanted[number + 1 :], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(f(numbers(3)), wanted, strict=True))


def test_other_strides_are_recorded_anew():
    f = ms.compile(lambda x: x.reshape(12) * 2, backend="torch")
    for x in (numbers(3, 4), numbers(4, 3).t(), numbers(6, 10)[::2, 2::2], numbers(3, 1).expand(3, 4)):
        assert torch.equal(f(x), x.reshape(12) * 2)


def test_without_torchscript_python_replays(monkeypatch):
    def gone(*args, **kwargs):
        raise RuntimeError("TorchScript is gone")

    x = numbers(3, 4)
    fast = compiling.replayed(lambda x: (x.sin() @ x.t(),), [x])
    monkeypatch.setattr(torchscript, "script_function", gone)
    slow = compiling.replayed(lambda x: (x.sin() @ x.t(),), [x])
    assert torch.equal(fast(x)[0], slow(x)[0])


def test_long_recordings_are_several_programs_with_the_same_bits(monkeypatch):
    scripted = []
    script_function = torchscript.script_function

    def counted(graph):
        scripted.append(graph)
        return script_function(graph)

    def long(x, y):
        for i in range(20):
            x = torch.tanh(x @ y + i)
        return x, x.t(), y

    x, y = numbers(3, 3), numbers(3, 3)
    wanted = [long(*pair) for pair in ((x, y), (y, x))]
    monkeypatch.setattr(torchscript, "script_function", counted)
    monkeypatch.setattr(compiling, "PIECE", 7)
    f = compiling.replayed(long, [x, y])
    assert len(scripted) > 5
    for pair, results in zip(((x, y), (y, x)), wanted, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(f(*pair), results, strict=True))


def test_shapes_are_noted_in_one_mode(monkeypatch):
    """A mode for each operation, with the stack written out, took half of the time of a recording."""
    made = []
    initialise = FakeTensorMode.__init__
    monkeypatch.setattr(FakeTensorMode, "__init__", lambda self, **how: made.append(1) or initialise(self, **how))

    def chain(x):
        for n in range(50):
            x = torch.sin(x) + torch.full((3,), float(n))
        return x

    graph = compiling.recorded(chain, [torch.ones(3)])
    assert [node.meta["val"].shape for node in graph.graph.nodes if node.op == "call_function"] == [(3,)] * 100
    assert len(made) == 1


LOOKING = {
    "item": lambda x: x * x.sum().item(),
    "if": lambda x: x if x.sum() > 0 else -x,
    "tolist": lambda x: x * sum(x.tolist()),
    "numpy": lambda x: x * float(x.numpy().sum()),
    "mask": lambda x: x[x > 0].sum() / x[x > 0].shape[0],
    "nonzero": lambda x: torch.nonzero(x > 0).sum(),
    "unique": lambda x: x * torch.unique(x).numel(),
    "slice": lambda x: x[: x.argmax()],
}


@pytest.mark.parametrize("name", LOOKING)
def test_a_function_that_looks_at_values_is_refused(name):
    """A recording would give the first call's at every later one."""
    with pytest.raises(InvalidTypeError, match="compile: the function looks at the values of its arguments"):
        ms.compile(LOOKING[name])(numbers(5))


def test_values_that_belong_to_no_argument_may_be_looked_at():
    kept, x = numbers(3), numbers(3)
    one_hot = torch.nn.functional.one_hot
    f = ms.compile(lambda x: x * sum(kept.tolist()) + x[torch.tensor(1)] + one_hot((x > 0).long(), 2).sum())
    assert torch.equal(f(x), x * sum(kept.tolist()) + x[1] + 3)


@pytest.mark.parametrize("number", [True, False, 2, 1.5])
def test_arithmetic_with_what_python_has(number):
    x = numbers(3)
    f = ms.compile(lambda x, number: x * number + number)
    assert torch.equal(f(x, number), x * number + number)


def test_in_inference_mode_and_on_what_was_made_in_it():
    x = numbers(3)
    with torch.inference_mode():
        made = x * 1
        assert torch.equal(ms.compile(torch.sin)(x), x.sin())
    assert torch.equal(ms.compile(torch.sin)(made), x.sin())


def test_settings_that_decide_dtypes_are_recorded_anew():
    x = numbers(3, 3)
    f = ms.compile(lambda x: (x @ x, torch.ones(2)))
    with torch.autocast("cpu", torch.bfloat16):
        assert f(x)[0].dtype == torch.bfloat16
    assert [leaf.dtype for leaf in f(x)] == [torch.float32, torch.float32]
    torch.set_default_dtype(torch.float64)
    try:
        assert f(x)[1].dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
