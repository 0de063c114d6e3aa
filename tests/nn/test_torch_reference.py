"""The blocks against torch.nn.functional, which is written and differentiated by others."""

import numpy as np
import pytest

from metaspec import nn
from tests.nn.helpers import generator

torch = pytest.importorskip("torch")
F = torch.nn.functional


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def oihw(kernel):
    return kernel.permute(3, 2, 0, 1)


LABELS = torch.tensor([1, 0, 4, 2])
PAIRS = {
    "conv2d": (
        nn.conv2d,
        lambda x, k, b: nhwc(F.conv2d(nchw(x), oihw(k), b, padding=1)),
        ((2, 6, 5, 3), (3, 3, 3, 4), (4,)),
    ),
    "conv2d, stride 2": (
        lambda x, k: nn.conv2d(x, k, stride=2),
        lambda x, k: nhwc(F.conv2d(F.pad(nchw(x), (0, 1, 0, 1)), oihw(k), stride=2)),
        ((2, 6, 8, 3), (3, 3, 3, 4)),
    ),
    "conv2d, valid": (
        lambda x, k: nn.conv2d(x, k, stride=(2, 1), padding="valid"),
        lambda x, k: nhwc(F.conv2d(nchw(x), oihw(k), stride=(2, 1))),
        ((2, 7, 6, 2), (5, 2, 2, 3)),
    ),
    "max_pool2d": (nn.max_pool2d, lambda x: nhwc(F.max_pool2d(nchw(x), 2)), ((2, 7, 6, 3),)),
    "max_pool2d, overlapping": (
        lambda x: nn.max_pool2d(x, 3, stride=2),
        lambda x: nhwc(F.max_pool2d(nchw(x), 3, 2)),
        ((2, 7, 9, 2),),
    ),
    "avg_pool2d": (nn.avg_pool2d, lambda x: nhwc(F.avg_pool2d(nchw(x), 2)), ((2, 6, 7, 3),)),
    "batch_norm": (
        nn.batch_norm,
        lambda x, g, b: nhwc(F.batch_norm(nchw(x), None, None, g, b, training=True, eps=1e-3)),
        ((3, 4, 4, 2), (2,), (2,)),
    ),
    "dense": (nn.dense, lambda x, w, b: F.linear(x, w.T, b), ((4, 3), (3, 5), (5,))),
    "gelu": (nn.gelu, lambda x: F.gelu(x, approximate="tanh"), ((40,),)),
    "silu": (nn.silu, F.silu, ((40,),)),
    "softplus": (nn.softplus, F.softplus, ((40,),)),
    "sigmoid": (nn.sigmoid, torch.sigmoid, ((40,),)),
    "log_softmax": (nn.log_softmax, lambda z: F.log_softmax(z, dim=-1), ((4, 5),)),
    "softmax_cross_entropy": (
        lambda z: nn.softmax_cross_entropy(z, LABELS),
        lambda z: F.cross_entropy(z, LABELS),
        ((4, 5),),
    ),
    "mean_squared_error": (nn.mean_squared_error, F.mse_loss, ((4, 5), (4, 5))),
}


def value_gradient_product(f, xs, vs, weights):
    xs = [x.clone().requires_grad_() for x in xs]
    value = f(*xs)
    gradient = torch.autograd.grad((weights * value).sum(), xs, create_graph=True)
    along = sum((g * v).sum() for g, v in zip(gradient, vs, strict=True))
    product = torch.autograd.grad(along, xs, allow_unused=True, materialize_grads=True) if along.requires_grad else ()
    return [t.detach().numpy() for t in (value, *gradient, *product)]


@pytest.mark.parametrize("name", PAIRS)
def test_value_gradient_and_hessian_vector_product(name: str) -> None:
    ours, theirs, shapes = PAIRS[name]
    rng = generator(name)
    xs, vs = ([torch.from_numpy(rng.standard_normal(shape)) for shape in shapes] for _ in range(2))
    weights = torch.from_numpy(rng.standard_normal(tuple(theirs(*xs).shape)))
    got, expected = (value_gradient_product(f, xs, vs, weights) for f in (ours, theirs))
    for a, b in zip(got, expected, strict=False):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * max(1.0, np.abs(b).max()))


def test_ties_in_max_pooling_go_where_torch_sends_them() -> None:
    x = torch.from_numpy(generator("ties").integers(0, 2, (3, 8, 8, 2)).astype(float))
    gradients = [torch.func.grad(lambda x, f=f: (f(x) ** 2).sum() + f(x).sum())(x) for f in PAIRS["max_pool2d"][:2]]
    assert torch.equal(*gradients)


def test_products_with_the_hessian_of_pytorchs_own_layers():
    import metaspec as ms

    draw = np.random.default_rng(5).standard_normal
    params = {name: torch.tensor(draw(shape)) for name, shape in (("w", (4, 3)), ("b", (4,)), ("v", (2, 4)))}
    x, y, v = torch.tensor(draw((5, 3))), torch.tensor(draw((5, 2))), {k: p.flip(0) for k, p in params.items()}

    def loss(w, b, v):
        return F.mse_loss(F.linear(torch.tanh(F.linear(x, w, b)), v), y)

    found = ms.get_backend("torch").hvp(lambda p: loss(p["w"], p["b"], p["v"]))(params, v)
    theirs = torch.autograd.functional.hvp(loss, tuple(params.values()), tuple(v.values()))[1]
    for ours, other in zip(found.values(), theirs, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-13, atol=1e-14)
