"""A canary for each private name of PyTorch: it fails by name when PyTorch moves it."""

import pytest

torch = pytest.importorskip("torch")

from metaspec_torch import _private  # noqa: E402

x = torch.ones(2)
CANARIES = {
    "is_wrapped": lambda: torch.vmap(lambda row: row * _private.is_wrapped(row))(x).sum() == 2,
    "under_functorch": lambda: (
        not _private.under_functorch() and torch.vmap(lambda r: r * _private.under_functorch())(x).all()
    ),
    "differentiated_by_functorch": lambda: torch.func.grad(lambda r: r.sum() * _private.differentiated_by_functorch())(
        x
    ).all(),
    "differentiates_once": lambda: (
        [_private.differentiates_once(type(_marked(once))) for once in (True, False)] == [True, False]
    ),
    "each_pulled": lambda: _pulled_through_an_edge(),
    "each_sum": lambda: torch.equal(_private.each_sum([x], [x], 2.0)[0], 3 * x),
    "each_scaled": lambda: torch.equal(_private.each_scaled([x], 2.0)[0], 2 * x),
    "is_zero_tensor": lambda: _private.is_zero_tensor(torch._efficientzerotensor(2)) and not _private.is_zero_tensor(x),
    "version_counter": lambda: _private.version_counter(torch.ones(2).add_(1)) == 1,
    "version_counters": lambda: _private.version_counters([torch.ones(2).add_(1), 3]) == [1],
    "mapped_over": lambda: torch.equal(_private.mapped_over(lambda r: [r.sum()], [torch.eye(2)])[0], torch.ones(2)),
    "set_grad_enabled": lambda: _without_recording(),
    "stand_in": lambda: _private.stand_in(torch.ones(2, 3).T, _private.FakeTensorMode()).stride() == (1, 3),
    "is_recorded": lambda: not _private.is_recorded(x),
    "called_in_recording": lambda: _recorded_apart_and_called_twice(),
    "get_proxy_mode": lambda: _private.get_proxy_mode() is None,
    "set_in_script": lambda: _put_in_script(),
    "has_cpp_compiler": lambda: _private.has_cpp_compiler() in (True, False),
    "OpOverload": lambda: isinstance(torch.ops.aten.sin.default, _private.OpOverload),
    "TracksStatistics": lambda: isinstance(torch.nn.BatchNorm1d(2), _private.TracksStatistics),
    "DropsUnits": lambda: isinstance(torch.nn.Dropout(), _private.DropsUnits),
    "FakeTensorMode": lambda: _private.FakeTensorMode(allow_non_fake_inputs=True) is not None,
    "script_function": lambda: _added_in_torchscript(),
    "TorchDispatchMode": lambda: _private.TorchDispatchMode is not None,
    "in_backward_pass": lambda: _seen_in_a_backward_pass() == [False, True],
    "wrapper_subclass": lambda: _has_a_shape_and_no_memory(),
    "tracing": lambda: _private.tracing(_private.TracingContext(_private.FakeTensorMode())) is not None,
}


def _added_in_torchscript():
    graph = _private.ScriptGraph()
    node = graph.create("aten::add", [graph.addInput("x"), graph.insertConstant(2), graph.insertConstant(1)], 1)
    graph.appendNode(node)
    graph.registerOutput(node.output())
    return torch.equal(_private.script_function(graph)(x), x + 2)


def _seen_in_a_backward_pass():
    seen = [_private.in_backward_pass()]
    y = torch.ones(2, requires_grad=True) * 2
    y.register_hook(lambda g: seen.append(_private.in_backward_pass()))
    y.sum().backward()
    return seen


class _Empty(torch.Tensor):
    @classmethod
    def __torch_dispatch__(cls, f, types, args=(), kwargs=None):
        raise NotImplementedError


def _has_a_shape_and_no_memory():
    found = _private.wrapper_subclass(_Empty, (2, 3), dtype=torch.float64, requires_grad=True)
    with pytest.raises(NotImplementedError), _private.DisableTorchFunctionSubclass():
        found + 1
    return (tuple(found.shape), found.dtype, found.requires_grad) == ((2, 3), torch.float64, True)


def _without_recording():
    before = torch.is_grad_enabled()
    try:
        _private.set_grad_enabled(False)
        return not torch.is_grad_enabled()
    finally:
        _private.set_grad_enabled(before)


def _marked(once):
    def backward(ctx, g):
        return g

    members = {
        "forward": staticmethod(lambda ctx, x: x * 1),
        "backward": staticmethod(torch.autograd.function.once_differentiable(backward) if once else backward),
    }
    return type("Copy", (torch.autograd.Function,), members).apply(torch.ones(2, requires_grad=True)).grad_fn


def _pulled_through_an_edge():
    leaf = torch.ones(2, requires_grad=True)
    edge = torch.autograd.graph.get_gradient_edge(3 * leaf)
    found = [_private.each_pulled([edge], [leaf], [cotangent], True, False)[0] for cotangent in (x, 2 * x)]
    with pytest.raises(RuntimeError, match="expected shape"):
        _private.each_pulled([edge], [leaf], [torch.ones(3)], True, False)
    return [share.tolist() for share in found] == [[3, 3], [6, 6]]


def _put_in_script():
    module = torch.jit.script(torch.nn.Linear(2, 1))
    value = torch.zeros(1, 2) * 2
    _private.set_in_script(module, "weight", value)
    return torch.equal(module.weight, value)


def _recorded_apart_and_called_twice():
    found = []

    def outer(a, b):
        c = a * 2

        def inner(row):
            return (row + c,)

        graph, _ = _private.recorded_apart(inner, [b])
        found.append([_private.is_recorded(y) for y in (c, torch.ones(2))])
        around = [graph._tensor_constant0]
        assert around[0] is c
        sums = [_private.called_in_recording("inner", graph, [row], [c])[0] for row in (a, b)]
        return sums[0] - sums[1]

    mode = _private.FakeTensorMode(allow_non_fake_inputs=True)
    with _private.tracing(_private.TracingContext(mode)):
        recording = torch.fx.experimental.proxy_tensor.make_fx(outer)(*(_private.stand_in(x, mode) for _ in range(2)))
    calls = recording.graph.find_nodes(op="call_function", target=_private.call_module)
    return len(calls) == 2 and found == [[True, False]]


@pytest.mark.parametrize("name", CANARIES)
def test_private_name(name):
    assert CANARIES[name](), f"metaspec_torch._private.{name}: PyTorch has moved what it uses"
