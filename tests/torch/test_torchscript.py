"""TorchScript programs built from recordings: the same bits as the operations called by Python."""

import pytest

torch = pytest.importorskip("torch")

from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402

from metaspec_torch.torchscript import scripted  # noqa: E402

aten = torch.ops.aten
FUNCTIONS = {
    "numbers": lambda x: (x * 2, x + True, 1 / x, x**3, x - 0.5, torch.add(x, x, alpha=3)),
    "dtypes": lambda x: (x.to(torch.float32), x.long().double(), torch.full_like(x, 2, dtype=torch.int32)),
    "memory formats": lambda x: (
        x.clone(memory_format=torch.contiguous_format),
        x[None, :, :, None].repeat(1, 1, 1, 2).clone(memory_format=torch.channels_last),
        x.t().clone(memory_format=torch.preserve_format),
    ),
    "lists": lambda x: (x.sum((0, 1)), x.sum(()), x.mean(-1, keepdim=True), x.flip([0]), x.reshape(-1)),
    "several results": lambda x: (*x.unbind(0), *x.max(1), torch.cat(x.split(1))),
    "a list of tensors and None": lambda x: (x[torch.tensor([1, 0])], x[:, torch.tensor([2])]),
    "strings": lambda x: (torch.div(x, 0.3, rounding_mode="floor"), torch.nn.functional.gelu(x, approximate="tanh")),
    "flags": lambda x: aten.convolution_backward(
        x[None, :, 1:], x[None], x[:, :2, None].expand(2, 2, 2), None, [1], [0], [1], False, [0], 1, [True, True, False]
    )[:2],
    "arguments and constants": lambda x: (x, torch.tensor([1.0, 2.0]) + x[0, 0], torch.tensor(3.0)),
    "without tensors": lambda x: (torch.ones(2, 3), torch.arange(3), torch.full((2,), 0.5), torch.eye(2), x),
    "booleans": lambda x: ((x > 0) + True, (x > 0).float() * True),
    "not finite": lambda x: (x * float("inf"), x.clamp(max=float("nan")), torch.where(x > 0, x, float("-inf"))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bits_are_those_of_the_operations(name):
    x = torch.linspace(-1.5, 2, 6, dtype=torch.float64).reshape(2, 3)
    f = FUNCTIONS[name]
    program = scripted(make_fx(f)(x))
    for given in (x, x, 2 * x):  # TorchScript runs as it is, then optimised
        for found, wanted in zip(program(given), f(given), strict=True):
            assert found.dtype == wanted.dtype
            assert found.stride() == wanted.stride()
            assert torch.equal(found.nan_to_num(), wanted.nan_to_num())
            if found is not given:
                found.zero_()  # the next call returns new tensors


def test_results_may_be_no_tensors():
    assert scripted(make_fx(lambda x: (x, None, 2, 0.5))(torch.ones(2)))(torch.zeros(2))[1:] == (None, 2, 0.5)
