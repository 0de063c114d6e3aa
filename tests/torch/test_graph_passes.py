"""Passes over recordings, which remove no-ops and fuse addmm: fewer operations, the same results."""

from math import prod

import pytest

torch = pytest.importorskip("torch")

from metaspec_torch.addmm_fusion import fuse_addmm  # noqa: E402
from metaspec_torch.recording import recorded  # noqa: E402
from metaspec_torch.torchscript import scripted  # noqa: E402

aten = torch.ops.aten
FUSED = {aten.addmm.default, aten.baddbmm.default}
GIVEN = {"matrices": (3, 4), "batches of matrices": (2, 3, 4)}


def arrays_of(name):
    shape = GIVEN[name]
    return [torch.linspace(-1, k, 24, dtype=torch.float64)[-(len(shape) - 1) * 12 :].reshape(shape) for k in range(4)]


def both_layouts(p, q, r, s):
    total = (p.mT @ q).mT + r.mT @ s  # column-major, so that the `flatten` is a view
    return total, total.mT.flatten().clone()


def used_twice(p, q, r, s):
    product = p @ q.mT
    return product + r @ s.mT, product


SUMS = {  # name: (how many are fused, the function)
    "a bias": (1, lambda p, q, r, s: (p[..., :1] + p @ q.mT,)),
    "a trailing bias": (1, lambda p, q, r, s: (p @ q.mT + p[..., :1],)),
    "a gradient step": (1, lambda p, q, r, s: (p - 0.1 * ((q @ r.mT) @ s),)),
    "a gradient step, transposed": (1, lambda p, q, r, s: (p - 0.1 * (s.mT @ (r @ q.mT)).mT,)),
    "a gradient step of one column": (1, lambda p, q, r, s: (p[..., :1] - 0.1 * (s[..., :1].mT @ (r @ q.mT)).mT,)),
    "alpha": (1, lambda p, q, r, s: (torch.add(p @ q.mT, r @ s.mT, alpha=-3),)),
    "alpha without a product": (0, lambda p, q, r, s: (torch.add(p @ q.mT, r[..., :1], alpha=-3),)),
    "a difference": (1, lambda p, q, r, s: (p[..., :1] - r @ s.mT,)),
    "both layouts": (1, both_layouts),
    "zeros": (1, lambda p, q, r, s: (torch.zeros_like(p) + (p + (q @ r.mT) @ s),)),
    "used twice": (1, used_twice),
    "a number": (0, lambda p, q, r, s: ((p @ q.mT) + 2, 3 - p @ r.mT)),
    "integers": (0, lambda p, q, r, s: (p.long() + (q.long() @ r.long().mT) @ s.long(),)),
    "twice the same": (0, lambda p, q, r, s: (2 * p + (w := 2 * q) + w - (w * 1),)),
    "two dtypes": (1, lambda p, q, r, s: (p + (p.float() + (q.float() @ r.float().mT) @ s.float()),)),
    "in place": (0, lambda p, q, r, s: (torch.zeros(3, 3, dtype=p.dtype).add_(1) + p @ q.mT,)),
}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("name", SUMS)
def test_sums_are_fused_with_matrix_products(name, given):
    (count, f), arrays = SUMS[name], arrays_of(given)
    graph = recorded(f, arrays)
    fuse_addmm(graph)
    assert sum(node.target in FUSED for node in graph.graph.nodes) == count
    for found, wanted in zip(scripted(graph)(*arrays), f(*arrays), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-14, atol=1e-14)
        assert found.stride() == wanted.stride()


@pytest.mark.parametrize(("shape", "left"), [((70, 70), 1), ((2, 50, 50), 0)])  # smaller zeros are folded
def test_zeros_that_change_the_layout_of_batched_sums_are_removed(shape, left):
    def f(p, q, r, s):
        total = torch.zeros_like(p @ q.mT) + ((p @ q.mT).mT + r @ s.mT)
        return total, total.flatten()

    arrays = [torch.linspace(-1, k, prod(shape), dtype=torch.float64).reshape(shape).sin() for k in range(4)]
    graph = recorded(f, arrays)
    fuse_addmm(graph)
    assert sum(node.target is aten.zeros_like.default for node in graph.graph.nodes) == left
    for found, wanted in zip(scripted(graph)(*arrays), f(*arrays), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-14, atol=1e-12)
        assert found.is_contiguous()


def test_a_batch_axis_is_not_taken_for_a_matrix_axis():
    def f(p, q):
        return (p + (p @ q).transpose(0, 1),)

    arrays = [torch.arange(27.0).reshape(3, 3, 3), torch.eye(3).expand(3, 3, 3) * torch.arange(3.0)[:, None, None]]
    graph = recorded(f, arrays)
    fuse_addmm(graph)
    assert torch.equal(scripted(graph)(*arrays)[0], f(*arrays)[0])


def test_products_with_one_and_sums_with_zeros_are_removed():
    x = torch.linspace(-1, 1, 6).reshape(2, 3)
    graph = recorded(lambda x: (((x.sin() * 1) / 1.0 + torch.zeros(3).sin()[0] * 0 * 1) * 1,), [x])
    found = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    assert aten.div.Tensor not in found
    assert aten.mul.Tensor not in found
    kept = recorded(lambda x: (x.t()[:, :1].expand(3, 4) * 1, (x > 0) * 1, x.long() * 1.0, x * True), [x])
    found = [node.target for node in kept.graph.nodes if node.op == "call_function"]
    assert found.count(aten.mul.Tensor) == 3  # memory of its own, and other dtypes


@pytest.mark.parametrize("given", GIVEN)
def test_zero_times_a_product_keeps_its_nan(given):
    def f(p, q):
        return (p + 0 * (p @ q.mT @ q), torch.add(p, q @ p.mT @ q, alpha=0))

    p, q, *_ = arrays_of(given)
    q[..., 0, 0] = float("nan")
    graph = recorded(f, [p, q])
    fuse_addmm(graph)
    for found, wanted in zip(scripted(graph)(p, q), f(p, q), strict=True):
        assert wanted.isnan().any()
        assert torch.equal(found.isnan(), wanted.isnan())
