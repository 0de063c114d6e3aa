"""Linear algebra in extended precision, where NumPy has none: held against what defines each result, and its signs."""

from typing import Any

import numpy as np
import pytest

from metaspec_numpy.tracer.rules import extended

RNG = np.random.default_rng(3)
EPS = float(np.finfo(np.longdouble).eps)
STACKS = pytest.mark.parametrize("stack", [(), (4,), (2, 3)], ids=str)
SIZES = pytest.mark.parametrize("n", range(1, 7))


def matrices(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.longdouble)


def small(x: Any, scale: Any) -> None:
    assert float(np.max(np.abs(x), initial=0.0)) <= 1e3 * EPS * float(np.max(np.abs(scale), initial=1.0))


@STACKS
@SIZES
def test_solutions_and_inverses(stack: tuple[int, ...], n: int) -> None:
    a, b = matrices(*stack, n, n), matrices(*stack, n, 2)
    x = extended.solve(a, b)
    assert x.dtype == np.longdouble
    scale = np.abs(extended.inv(a)).max() * np.abs(a).max()
    small(a @ x - b, scale)
    small(a @ extended.inv(a) - np.eye(n), scale)
    before = a.copy(), b.copy()
    extended.solve(a, b)
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(b, before[1])


def test_solutions_broadcast_over_stacks() -> None:
    a, b = matrices(3, 1, 4, 4), matrices(2, 4, 5)
    x = extended.solve(a, b)
    assert x.shape == (3, 2, 4, 5)
    small(a @ x - b, np.abs(extended.inv(a)).max())
    assert extended.solve(a[0, 0], b).shape == (2, 4, 5)


@pytest.mark.parametrize("row", range(4))
def test_rows_are_exchanged_for_the_largest_pivot(row: int) -> None:
    a = np.eye(4, dtype=np.longdouble)[[1, 2, 3, 0]] + np.longdouble(1e-25)
    a[row] *= np.longdouble(1e10)
    b = matrices(4, 1)
    small(a @ extended.solve(a, b) - b, np.longdouble(1.0))


@STACKS
@SIZES
def test_determinants_are_numpys(stack: tuple[int, ...], n: int) -> None:
    a = matrices(*stack, n, n)
    expected = np.linalg.slogdet(a.astype(np.float64))
    sign, logarithm = extended.slogdet(a)
    np.testing.assert_array_equal(sign, expected.sign)
    np.testing.assert_allclose(logarithm, expected.logabsdet, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(extended.det(a), np.linalg.det(a.astype(np.float64)), rtol=1e-11)
    small(extended.det(a) - sign * np.exp(logarithm), extended.det(a))


def test_singular_matrices() -> None:
    a = np.asarray([[1, 2], [2, 4]], dtype=np.longdouble)
    assert extended.det(a) == 0
    assert extended.slogdet(a) == (0, -np.inf)
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        extended.solve(np.stack([np.eye(2, dtype=np.longdouble), a]), np.ones((2, 1)))


def test_columns_of_zeros() -> None:
    a = np.asarray([[0, 1, 2], [0, 2, 5], [0, 1, 1]], dtype=np.longdouble)
    assert extended.det(a) == 0
    sign, logarithm = extended.slogdet(np.stack([a, np.eye(3, dtype=np.longdouble)]))
    np.testing.assert_array_equal(sign, [0, 1])
    np.testing.assert_array_equal(logarithm, [-np.inf, 0])


@STACKS
@SIZES
def test_cholesky_factors(stack: tuple[int, ...], n: int) -> None:
    root = matrices(*stack, n, n)
    a = root @ root.mT + np.eye(n)
    above = np.triu(matrices(*stack, n, n), 1)  # is not read
    factor = extended.cholesky(np.tril(a) + above)
    small(factor @ factor.mT - a, a)
    np.testing.assert_array_equal(factor, np.tril(factor))
    assert (np.diagonal(factor, axis1=-2, axis2=-1) > 0).all()


@pytest.mark.parametrize("last", [0.0, -1.0])
def test_what_is_not_positive_definite_has_no_factor(last: float) -> None:
    a = np.diag(np.asarray([1.0, 2.0, last], dtype=np.longdouble))
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        extended.cholesky(np.stack([np.eye(3, dtype=np.longdouble), a]))


def symmetric(kind: str, stack: tuple[int, ...], n: int) -> Any:
    a = matrices(*stack, n, n)
    if kind == "dense":
        return a + a.mT
    if kind == "diagonal":
        return a * np.eye(n)
    if kind == "of rank one":
        return a[..., :1] @ a[..., :1].mT
    if kind == "of equal diagonal":
        return (a + a.mT) * (1 - np.eye(n)) + np.eye(n)
    return (a + a.mT) * np.longdouble({"tiny": "1e-4000", "huge": "1e2000"}[kind])


@STACKS
@SIZES
@pytest.mark.parametrize("kind", ["dense", "diagonal", "of rank one", "of equal diagonal", "tiny", "huge"])
def test_eigenproblems(kind: str, stack: tuple[int, ...], n: int) -> None:
    a = symmetric(kind, stack, n)
    kept = a.copy()
    with np.errstate(over="ignore"):  # an angle beyond the format is no turn
        values, vectors = extended.eigh(a)
    np.testing.assert_array_equal(a, kept)
    size = np.max(np.abs(a), initial=np.finfo(np.longdouble).tiny)
    small((a @ vectors - vectors * values[..., None, :]) / size, np.longdouble(1.0))
    small(vectors.mT @ vectors - np.eye(n), np.longdouble(1.0))
    assert (np.diff(values, axis=-1) >= 0).all()
