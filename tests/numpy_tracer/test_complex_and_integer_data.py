"""Data that are not real floating arrays: complex values on the way are refused or right, small integers widen."""

from typing import Any

import numpy as np
import pytest

import metaspec as ms
from metaspec.errors import InvalidTypeError, UnsupportedError
from metaspec_numpy import tracer
from tests.numpy_tracer.checks import close

XP = tracer.namespace(np)
RNG = np.random.default_rng(0)
W = RNG.normal(size=(3, 4))
X = RNG.uniform(0.2, 0.9, size=(3, 4))

COMPLEX = [
    lambda x: x * 1j,
    lambda x: 1j * x,
    lambda x: np.exp(1j * x),
    lambda x: (W + 1j) @ x.T,
    lambda x: np.add(x, 1j * W),
    lambda x: x.astype(complex),
    lambda x: np.astype(x, np.complex64),
    lambda x: np.where(x > 0, x, 1j),
    lambda x: np.concatenate([x, 1j * W]),
    lambda x: np.einsum("ij,kj->ik", x, 1j * W),
    lambda x: np.sum(x, dtype=complex),
    lambda x: np.full_like(x, 1j * x[0, 0]),
    lambda x: x ** (1 + 2j),
    lambda x: np.array([1j, 2.0], like=x) * x[:, :2],
    lambda x: XP.astype(x, XP.complex128),
    lambda x: np.linalg.solve(1j * np.eye(3), x),
    lambda x: np.stack([x, 1j * W]),
    lambda x: np.multiply(x, 1j, dtype=complex),
]


@pytest.mark.parametrize("call", COMPLEX, ids=range(len(COMPLEX)))
@pytest.mark.filterwarnings("error")
def test_complex_values_are_refused_where_they_arise(call: Any) -> None:
    gradient = lambda x: tracer.vjp(lambda x: np.sum(np.abs(call(x)) ** 2), x)[1](np.ones(()))[0]  # noqa: E731
    for f in (
        lambda: gradient(X),
        lambda: tracer.jvp(call, [X], [X]),
        lambda: tracer.record(gradient, (X,)),
        lambda: tracer.vmap(gradient)(X[None]),
    ):
        with pytest.raises(UnsupportedError, match=r"complex values have no derivative .*(np.cos.x., np.sin.x.)"):
            f()


def test_into_complex_arrays_nothing_is_written() -> None:
    out = np.zeros(X.shape, complex)

    def add(x: Any) -> Any:
        target = out
        target += x
        return target

    for call in (add, lambda x: np.array([x], dtype=complex), lambda x: complex(x[0, 0]), lambda x: np.exp(x, out=out)):
        with pytest.raises((InvalidTypeError, UnsupportedError)):
            tracer.vjp(call, X)
    assert not out.any()


OF_SMALL_INTEGERS = {
    "np.prod": np.prod,
    "np.cumprod": lambda n: np.cumprod(n)[-1],
    "np.multiply.reduce": np.multiply.reduce,
    "np.multiply.accumulate": lambda n: np.multiply.accumulate(n)[-1],
    "np.linalg.norm": np.linalg.norm,
    "np.linalg.norm of 1": lambda n: np.linalg.norm(n, 1),
    "np.linalg.vector_norm": np.linalg.vector_norm,
    "np.interp": lambda n: np.interp(1.5, np.arange(3), n),
    "np.sum": np.sum,
    "np.var": np.var,
    "np.sum in uint8": lambda n: np.sum(np.stack([n, n]), dtype=np.uint8),
    "n.sum in int8": lambda n: n.sum(dtype=np.int8),
    "xp.sum in uint8": lambda n: ms.array_namespace(n).sum(n * 2, dtype=np.uint8),
    "np.cumsum in uint8": lambda n: np.cumsum(np.stack([n, n]), dtype=np.uint8),
    "np.cumulative_sum in uint8": lambda n: np.cumulative_sum(n, dtype=np.uint8, include_initial=True),
    "np.add.reduce in uint8": lambda n: np.add.reduce(np.stack([n, n]), dtype=np.uint8, axis=None),
    "np.add.accumulate in uint8": lambda n: np.add.accumulate(n, dtype=np.uint8),
    "np.nansum in uint8": lambda n: np.nansum(np.stack([n, n]), dtype=np.uint8),
    "np.trace in uint8": lambda n: np.trace(np.outer(n, n), dtype=np.uint8),
    "np.prod in uint8": lambda n: np.prod(n, dtype=np.uint8),
    "np.mean in float32": lambda n: np.mean(n, dtype=np.float32),
    "np.add in int16": lambda n: np.add(n, n, dtype=np.int16),
    "np.dot": lambda n: np.dot(n, n),
    "np.vecdot": lambda n: np.vecdot(n, n),
    "np.einsum": lambda n: np.einsum("i,i->", n, n),
    "np.trace": lambda n: np.trace(np.outer(n, n)),
    "np.nansum": np.nansum,
    "np.nanmax": np.nanmax,
    "np.nancumprod": np.nancumprod,
    "np.nanmedian": np.nanmedian,
    "np.multiply.accumulate in uint8": lambda n: np.multiply.accumulate(n, dtype=np.uint8),
    "np.cumprod in uint8": lambda n: np.cumprod(n, dtype=np.uint8),
    "np.multiply.reduce in uint8": lambda n: np.multiply.reduce(n, dtype=np.uint8),
    "np.cumsum": np.cumsum,
    "np.add.accumulate": np.add.accumulate,
    "np.diff": np.diff,
    "np.ptp": np.ptp,
    "np.median": np.median,
    "np.convolve": lambda n: np.convolve(n, n),
    "np.cross": lambda n: np.cross(n, n + 1),
    "np.square": np.square,
    "np.negative": np.negative,
    "np.power": lambda n: np.power(n, 2),
    "np.true_divide": lambda n: n / 2,
    "np.floor_divide": lambda n: n // 2,
    "np.sqrt": np.sqrt,
}


@pytest.mark.parametrize("of", OF_SMALL_INTEGERS.values(), ids=OF_SMALL_INTEGERS)
def test_small_integers_are_widened_as_numpy_widens_them(of: Any) -> None:
    n = np.array([200, 3, 2], np.uint8)
    for found in (tracer.record(of, (n,))(n), tracer.vmap(of)(np.stack([n, n]))[1]):
        close(found, of(n), 1e-14)
        assert found.dtype == of(n).dtype


OF_COMPLEX_DATA = {
    "np.conj": lambda z: np.abs(np.conj(z) + z),
    "z.conj()": lambda z: np.abs(z.conj() + z),
    "xp.conj": lambda z: np.abs(ms.array_namespace(z).conj(z) + z),
    "z.imag": lambda z: z.imag - z.real,
    "np.real": lambda z: np.real(z) + np.imag(z),
    "np.angle": np.angle,
    "np.vdot": lambda z: np.abs(np.vdot(z, z)),
    "np.vecdot": lambda z: np.abs(np.vecdot(z, z)),
    "xp.vecdot": lambda z: np.abs(ms.array_namespace(z).vecdot(z, z)),
    "np.cov": lambda z: np.abs(np.cov(z)),
    "np.correlate": lambda z: np.abs(np.correlate(z, z)),
    "np.isreal": lambda z: np.isreal(z) + np.iscomplexobj(z),
}


@pytest.mark.parametrize("of", OF_COMPLEX_DATA.values(), ids=OF_COMPLEX_DATA)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_complex_data_have_numpys_conjugate_in_every_form(of: Any) -> None:
    loss = lambda p, z: np.sum(of(z) * p**2)  # noqa: E731
    data = [ms.Task(z, z) for z in (X[0] + 1j * W[0], X[1] - 2j * W[1])]
    algo = ms.FOMAML(ms.GradientDescent(0.1, 0))
    f = lambda p, t: ms.meta_gradient(algo, loss, p, t)  # noqa: E731
    values = [loss(X[2], task.query) for task in data]
    close(f(X[2], data[0]).query_loss, values[0], 1e-13)
    close(ms.compile(f)(X[2], data[0]).query_loss, values[0], 1e-13)
    close(ms.batch_meta_gradient(algo, loss, X[2], data).query_loss, np.mean(values), 1e-13)


def test_complex_data_are_computed_with_where_no_derivative_passes() -> None:
    def loss(z: Any, w: Any) -> Any:
        return np.sum(np.abs(np.exp(z)) * w)

    z = X + 1j * W
    close(tracer.vmap(loss)(np.stack([z, z]), np.stack([X, X]))[1], loss(z, X), 1e-14)
    found = tracer.record(lambda z, w: tracer.vjp(lambda w: loss(z, w), w)[1](np.ones(()))[0], (z, X))(z, X)
    close(found, np.abs(np.exp(z)), 1e-14)
