"""Laws of what makes a computation fast: compile, checkpoint, scan. Only rounding may differ."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

import metaspec as ms
from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.trees import add_scaled, dot, scale
from metaspec_conformance.laws.framework.claims import Claim, Equal, Holds
from metaspec_conformance.laws.framework.coupled_scenario import alone, small
from metaspec_conformance.laws.framework.directions import direction
from metaspec_conformance.laws.framework.law import ONE_FORMAT, PROTOCOL, law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree

protocol = partial(law, subject=PROTOCOL, on=small, applies=alone)


@law(
    "compile(f)(x) = f(x) for meta_gradient and adapt together, at the first values and at others",
    "MS-BACKEND-6",
    on=small,
    applies=alone,
    dtypes=ONE_FORMAT,
)
def compiled_algorithm(at: LawContext) -> Iterator[Claim]:
    def both(params: Tree, task: ms.Task) -> Tree:
        r = at.meta_gradient(params=params, task=task)
        theta = at.adapt(params=params, support=task.support)
        return {"delta": r.delta, "query_loss": r.query_loss, "adapted": r.adapted, "at meta-test": theta}

    compiled = ms.compile(both, backend=at.B)
    one_number = ms.Task(*({name: leaf[0] for name, leaf in batch.items()} for batch in at.task))
    other = add_scaled(at.B, at.params, 0.125, direction(at, 1))
    for name, params, task in (
        ("first call", at.params, at.task),
        ("other values", other, at.task),
        ("other shapes", at.params, one_number),
        ("the first values again", at.params, at.task),
    ):
        yield Equal(name, compiled(params, task), both(params, task))


@protocol(
    "compile sees what its function closes over, takes numbers as constants, and keeps them apart", "MS-BACKEND-6"
)
def compiled_closure(at: LawContext) -> Iterator[Claim]:
    closed_over = direction(at, 1)

    def f(x: Tree, c: float) -> Tree:
        return add_scaled(at.B, scale(at.B, c, x), 2.0, closed_over)

    compiled = ms.compile(f, backend=at.B)
    for c in (0.5, 3.0, 0.5):
        yield Equal(f"c = {c}, {'again' if c == 0.5 else 'once'}", compiled(at.params, c), f(at.params, c))


@protocol("checkpoint(f) has f's value, gradient and products", "MS-BACKEND-6")
def checkpoint(at: LawContext) -> Iterator[Claim]:
    B, v, batch = at.B, direction(at, 1), at.task.support
    kept: Callable[..., Array] = B.checkpoint(at.loss)
    yield Equal(
        "value and gradient", B.value_and_grad(kept)(at.params, batch), B.value_and_grad(at.loss)(at.params, batch)
    )
    yield Equal("product", B.hvp(kept)(at.params, v, batch), at.product(batch, v))
    yield Equal("linearized", B.linearize_grad(kept)(at.params, batch)[1](v), at.product(batch, v))


@protocol("scan(f) = the loop written out: carry and outputs, over rows or a count, and its gradient", "MS-BACKEND-6")
def scan(at: LawContext) -> Iterator[Claim]:
    B, xp = at.B, at.B.xp
    rows = at.array(np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75], [1.0, 0.5, -0.5]]))

    def step(carry: Tree, x: Array | None) -> tuple[Tree, Tree]:
        moved = carry["a"] * carry["b"] if x is None else carry["a"] * x
        return {"a": carry["b"], "b": xp.tanh(moved)}, {"sum": xp.sum(moved)}

    def looped(carry: Tree, xs: list[Array | None]) -> tuple[Tree, Tree]:
        ys = []
        for x in xs:
            carry, y = step(carry, x)
            ys.append(y["sum"])
        return carry, {"sum": xp.stack(ys)}

    def over_rows(carry: Tree, rows: Array) -> tuple[Tree, Tree]:
        return B.scan(step, carry, rows)

    written_out = looped(at.params, [rows[k] for k in range(3)])
    yield Equal("over rows", over_rows(at.params, rows), written_out)
    yield Equal("compiled", B.compile(over_rows)(at.params, rows), written_out)
    carry, ys = looped(at.params, [rows[k] for k in (2, 1, 0)])
    yield Equal("from the last row", B.scan(step, at.params, rows, reverse=True), (carry, {"sum": xp.flip(ys["sum"])}))
    yield Equal("a count", B.scan(step, at.params, None, length=3), looped(at.params, [None] * 3))
    total: Callable[[Tree], Array] = lambda carry: xp.sum(over_rows(carry, rows)[1]["sum"])  # noqa: E731
    by_hand: Callable[[Tree], Array] = lambda carry: xp.sum(looped(carry, [rows[k] for k in range(3)])[1]["sum"])  # noqa: E731
    yield Equal("gradient", B.grad(total)(at.params), B.grad(by_hand)(at.params))
    carry, nothing = B.scan(lambda carry, _: (carry, None), at.params, None, length=0)
    yield Equal("no steps", carry, at.params)
    yield Holds("no outputs", nothing is None, f"they are {nothing!r}")


@protocol(
    "conjugate gradients inside of compile take the same steps to the same x",
    "MS-BACKEND-6",
    "MS-SOLVE-1",
    dtypes=ONE_FORMAT,
)
def compiled_solve(at: LawContext) -> Iterator[Claim]:
    B, c, d = at.B, direction(at, 1), direction(at, 2)

    def product(v: Tree) -> Tree:
        """2 I + c cᵀ + d dᵀ."""
        return add_scaled(B, add_scaled(B, scale(B, 2.0, v), dot(B, c, v), c), dot(B, d, v), d)

    def solved(b: Tree) -> tuple[Tree, Array]:
        s = B.linear_solve(product, b, ConjugateGradient(2))
        return {"x": s.x, "residual": s.residual}, s.steps

    (found, taken), (wanted, steps) = B.compile(solved)(at.params), solved(at.params)
    yield Equal("x", found["x"], wanted["x"])
    yield Holds("steps", int(B.to_numpy(taken)) == int(B.to_numpy(steps)) == 2, f"{taken} and {steps}")


@protocol(
    "compile within compile, and derivatives of what is compiled", "MS-BACKEND-6", "MS-BACKEND-1", dtypes=ONE_FORMAT
)
def nested_compile(at: LawContext) -> Iterator[Claim]:
    B, batch = at.B, at.task.support
    inner = B.compile(B.grad(at.loss))
    outer = B.compile(lambda x: inner(add_scaled(B, x, -0.03125, inner(x, batch)), batch))
    walked = add_scaled(B, at.params, -0.03125, at.gradient(batch))
    yield Equal("compiled twice", outer(at.params), at.gradient(batch, walked))
    yield Equal("differentiated", B.grad(B.compile(at.loss))(at.params, batch), at.gradient(batch))
