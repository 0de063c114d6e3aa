"""The buffers of a recorded program: used again, and never while somebody still reads them."""

from typing import Any

import numpy as np

from metaspec_numpy import tracer
from tests.numpy_tracer.checks import close

XP = tracer.namespace(np)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3))


def test_arguments_and_earlier_results_are_left_alone() -> None:
    def f(x: Any) -> Any:
        y = XP.exp(x) * 2.0
        z = XP.tanh(y + 1.0)
        return y, z, XP.reshape(y, (12,)) + 1.0, XP.matrix_transpose(z)

    program = tracer.record(f, (X,))
    kept = X.copy()
    first = program(X)
    copies = [y.copy() for y in first]
    program(X + 1.0)
    close(X, kept, 0)
    for a, b, c in zip(first, copies, f(X), strict=True):
        close(a, b, 0)
        close(a, c, 0)


def test_views_of_a_buffer_are_not_overwritten() -> None:
    def f(x: Any) -> Any:
        y = x * 2.0
        v = XP.matrix_transpose(y)  # shares y's memory beyond y's last use
        z = XP.exp(x) + 1.0
        u = XP.sin(z) * z
        return v + XP.matrix_transpose(u), y[0] + XP.flip(y, axis=0)[0], XP.matrix_transpose(u) @ u

    program = tracer.record(f, (X,))
    for a, b in zip(program(X), f(X), strict=True):
        close(a, b, 1e-14)


def test_buffers_are_used_again() -> None:
    def f(x: Any) -> Any:
        for _ in range(20):
            x = XP.tanh(x) * 1.5
        return x

    source = tracer.record(f, (X,)).source
    assert len({line.split(" = ")[0].strip() for line in source.splitlines()[1:-1]}) == 1


def test_products_share_their_buffers() -> None:
    """A product cannot be written over its operands, but over what died before."""

    def f(x: Any) -> Any:
        for _ in range(20):
            x = x @ XP.full((3, 3), 0.5)
        return x

    source = tracer.record(f, (X,)).source
    assert len({line.split(" = ")[0].strip() for line in source.splitlines()[1:-1]}) == 2
    close(tracer.record(f, (X,))(X), f(X), 1e-14)


def test_borders_are_zero_in_buffers_that_held_other_numbers() -> None:
    def f(x: Any) -> Any:
        out = XP.pad(x, 1)
        for _ in range(3):
            rows = XP.sum(XP.exp(out), axis=0)
            out = XP.pad(XP.sin(out[1:-1, 1:-1]), 1) * rows * 1e-2
        return out

    program = tracer.record(f, (X,))
    for _ in range(2):
        close(program(X), f(X), 1e-13)


def test_nothing_outlives_its_last_use() -> None:
    """Every variable of a program is returned or deleted, views of others too."""

    def f(x: Any) -> Any:
        y = XP.exp(x)
        v = XP.matrix_transpose(y)[1:]
        z = v @ x * 3.0
        w = XP.sum(z) + XP.sum(XP.reshape(XP.sin(z), (-1,))[::2])
        for _ in range(3):
            z = XP.tanh(z * w)
        return z

    program = tracer.record(f, (X,))
    lines = [line.strip() for line in program.source.splitlines()[1:]]
    alive: set[str] = set()
    for line in lines[:-1]:
        assignment, *deletions = line.split("; del ")
        alive.add(assignment.split(" = ")[0])
        for names_of in deletions:
            alive -= set(names_of.split(", "))
    assert lines[-1] == f"return [{', '.join(alive)}]", program.source
    close(program(X), f(X), 1e-14)
