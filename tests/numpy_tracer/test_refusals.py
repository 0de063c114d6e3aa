"""What the namespace's functions refuse, and what they say then."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metaspec.errors import InvalidArgumentError, UnsupportedError
from metaspec_numpy import tracer
from metaspec_numpy.tracer.functions import shaping
from metaspec_numpy.tracer.functions.einsum import einsum

XP = tracer.namespace(np)
X = np.ones((2, 3, 4))
Z = np.zeros((2, 0, 3))
V = np.ones(5)
M = np.ones((3, 4))

REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: XP.reshape(X, (5, -1)), r"cannot turn shape \(2, 3, 4\) into \(5, -1\)"),
    (lambda: XP.reshape(X, (-1, -1)), "cannot turn"),
    (lambda: XP.reshape(Z, (0, -1)), "cannot turn"),
    (lambda: XP.reshape(X, (-2, 12)), r"lengths must be >= 0, .* got \(-2, 12\)"),
    (lambda: shaping.broadcast_shapes((2, 3), (3, 3)), "do not broadcast"),
    (lambda: shaping.broadcast_shapes((0,), (2,)), "do not broadcast"),
    (lambda: XP.permute_dims(X, (0, 0, 1)), "not a permutation of the 3 axes"),
    (lambda: XP.permute_dims(X, (0, 1)), "not a permutation"),
    (lambda: XP.permute_dims(X, (0, 1, 3)), "axis 3 is out of bounds"),
    (lambda: XP.sum(X, axis=-4), "axis -4 is out of bounds"),
    (lambda: XP.moveaxis(X, (0, 1), 2), "2 sources but 1 destinations"),
    (lambda: XP.squeeze(X, axis=0), "not all of length 1"),
    (lambda: XP.concat([]), "at least one"),
    (lambda: XP.stack([]), "at least one"),
    (lambda: XP.split(X, 3, axis=2), "does not divide"),
    (lambda: XP.cumulative_sum(M), "axis is needed for an array of rank 2"),
    (lambda: XP.matmul(V, M), "do not fit"),
    (lambda: XP.matmul(M, V), "do not fit"),
    (lambda: XP.matmul(M, M), "do not fit"),
    (lambda: XP.matmul(np.float64(1.0), V), "do not fit"),
    (lambda: XP.matmul(V, np.float64(1.0)), "do not fit"),
    (lambda: XP.vecdot(V, V[:1]), "differ along the axis"),
    (lambda: XP.tensordot(M, M, axes=1), "do not match"),
    (lambda: XP.matrix_transpose(V), "rank 2 or more"),
    (lambda: XP.linalg.det(M), "square matrices"),
    (lambda: XP.linalg.det(X), "square matrices"),
    (lambda: XP.linalg.qr(V), "needs matrices"),
    (lambda: XP.linalg.cholesky(np.swapaxes(X, 0, 2)), "square matrices"),
    (lambda: XP.linalg.inv(V), "square matrices"),
    (lambda: XP.linalg.matrix_power(M, 2), "square matrices"),
    (lambda: XP.linalg.slogdet(M), "square matrices"),
    (lambda: XP.linalg.solve(M, V), "square matrices"),
    (lambda: einsum("ij,jk->ik", M), "names 2 operands; 1 were given"),
    (lambda: einsum("ij", V), "does not fit an operand of rank 1"),
    (lambda: einsum("...ij", V), "does not fit an operand of rank 1"),
    (lambda: einsum("ij,ij->i", M, M[:, :2]), "stands for the lengths 4 and 2"),
]


@pytest.mark.parametrize("call", [call for call, _ in REFUSED], ids=[message for _, message in REFUSED])
def test_what_does_not_fit_is_an_error(call: Callable[[], Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=dict(REFUSED)[call]):
        call()


def test_what_has_no_rule_is_an_error() -> None:
    for call in (lambda: XP.pad(M, 1, mode="edge"), lambda: XP.linalg.pinv(M, rtol=np.array([0.1]))):
        with pytest.raises(UnsupportedError, match="has no rule"):
            call()
