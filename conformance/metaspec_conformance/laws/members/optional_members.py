"""Laws of the derived and optional members: what is declared of each is so, and it computes what the derived form does.

native: overridden in the adapter's class. derived: not overridden. unsupported: overridden, to raise UnsupportedError
with the reason.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from metaspec.backend.capabilities import MEMBERS
from metaspec.backend.protocol import Backend
from metaspec.backend.registry import registrations
from metaspec.errors import UnsupportedError
from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.task import Tree
from metaspec.trees import add_scaled, dot, scale, tree_map
from metaspec_conformance.laws.framework.claims import Claim, Equal, Holds
from metaspec_conformance.laws.framework.law_context import LawContext
from metaspec_conformance.laws.members.cubic import cubic, cubic_gradient, cubic_product
from metaspec_conformance.laws.members.required_members import once

Call = Callable[..., Any]


@dataclass(frozen=True)
class Use:
    """A use of a member: `of` calls it, `truth` is what comes out, written out."""

    of: Callable[[LawContext, Call], Tree]
    truth: Callable[[LawContext], Tree]


def _direction(at: LawContext) -> Tree:
    return tree_map(at.B, lambda w: at.B.xp.ones_like(w) - w / 2, at.params)


def _rows(at: LawContext) -> Any:
    return at.array(np.array([[0.5, -1.0], [2.0, 0.25], [1.5, 3.0]]))


def _step(B: Backend) -> Callable[[Tree, Any], tuple[Tree, Any]]:
    """A gradient step on sum (c - x)^2 / 2, and the sum of squares of what it led to."""

    def step(carry: Tree, x: Any) -> tuple[Tree, Any]:
        after = {"c": carry["c"] - (carry["c"] - x) / 4}
        return after, B.xp.sum(after["c"] * after["c"])

    return step


def _stepped(at: LawContext) -> tuple[Tree, Any]:
    carry, ys = {"c": _rows(at)[0]}, []
    for k in range(3):
        carry, y = _step(at.B)(carry, _rows(at)[k])
        ys.append(y)
    return carry, at.B.xp.stack(ys)


def _pushed(at: LawContext, jvp: Call) -> Tree:
    """Return the forward derivatives of a function whose value is a tree, and of a function of two arguments."""
    x, v, (c, s) = at.params, _direction(at), _rows(at)[0]
    scaled = jvp(lambda x, c: c * cubic(at.B, x), (x, c), (v, s))
    return jvp(partial(cubic_gradient, at.B), (x,), (v,)), scaled[1]


def _pushed_truth(at: LawContext) -> Tree:
    x, v, (c, s) = at.params, _direction(at), _rows(at)[0]
    g = cubic_gradient(at.B, x)
    return (g, cubic_product(at.B, x, v)), c * dot(at.B, g, v) + s * cubic(at.B, x)


def _linearized(at: LawContext, linearize_grad: Call) -> Tree:
    gradient, product = linearize_grad(partial(cubic, at.B))(at.params)
    linearize_grad(partial(cubic, at.B))(_direction(at))  # another point, which must not take the first one's place
    return gradient, product(_direction(at)), product(at.params)


def _solved(at: LawContext, linear_solve: Call) -> Tree:
    """Solve with A = 2 I, for which one step of conjugate gradients is exact, and with damping."""

    def double(x: Tree) -> Tree:
        return scale(at.B, 2.0, x)

    solvers = ConjugateGradient(steps=2), ConjugateGradient(steps=1, damping=2.0)
    return [linear_solve(double, at.params, solver).x for solver in solvers]


def _through(at: LawContext, wrap: Call) -> Tree:
    """Value, gradient and product of what `wrap` makes of the cubic."""
    f = wrap(partial(cubic, at.B))
    return (*at.B.value_and_grad(f)(at.params), at.B.hvp(f)(at.params, _direction(at)))


def _written_out(at: LawContext) -> Tree:
    x, v = at.params, _direction(at)
    return cubic(at.B, x), cubic_gradient(at.B, x), cubic_product(at.B, x, v)


def _row_wise(at: LawContext, vmap: Call) -> Tree:
    xp, rows = at.B.xp, _rows(at)

    def f(row: Any, pair: Tree) -> Tree:
        gradient = at.B.grad(lambda r: xp.sum(r * r * pair["y"]))(row)
        return {"sum": xp.sum(row), "gradient": gradient, "first": xp.where(row > 1, row, 0.0 * row)}

    return vmap(f)(rows, {"y": rows + 1})


def _row_wise_truth(at: LawContext) -> Tree:
    xp, rows = at.B.xp, _rows(at)
    first = xp.where(rows > 1, rows, 0.0 * rows)
    return {"sum": xp.sum(rows, axis=1), "gradient": 2 * rows * (rows + 1), "first": first}


USES = {
    "grad": Use(lambda at, grad: grad(partial(cubic, at.B))(at.params), lambda at: cubic_gradient(at.B, at.params)),
    "jvp": Use(_pushed, _pushed_truth),
    "hvp": Use(
        lambda at, hvp: hvp(lambda x, c: c * cubic(at.B, x))(at.params, _direction(at), at.array(np.array(0.5))),
        lambda at: scale(at.B, 0.5, cubic_product(at.B, at.params, _direction(at))),
    ),
    "linearize_grad": Use(_linearized, lambda at: (*_written_out(at)[1:], cubic_product(at.B, at.params, at.params))),
    "linear_solve": Use(_solved, lambda at: [scale(at.B, share, at.params) for share in (0.5, 0.25)]),
    "vmap": Use(_row_wise, _row_wise_truth),
    "scan": Use(lambda at, scan: scan(_step(at.B), {"c": _rows(at)[0]}, _rows(at)), _stepped),
    "checkpoint": Use(_through, _written_out),
    "compile": Use(
        lambda at, compile: [compile(partial(add_scaled, at.B, at.params, 1 / 3))(_direction(at)) for _ in range(2)],
        lambda at: [add_scaled(at.B, at.params, 1 / 3, _direction(at))] * 2,
    ),
    "all_reduce": Use(
        lambda at, all_reduce: [all_reduce(at.params, op) for op in ("sum", "max", "min")],
        lambda at: [at.params] * 3,  # of the one process that a law runs in
    ),
}
"""One use of each member; how each behaves inside of an algorithm is asked by the scenarios and the other laws."""


def _check(name: str, at: LawContext) -> Iterator[Claim]:
    declared = at.B.capabilities[name]
    overridden = getattr(type(at.B), name) is not getattr(Backend, name)
    own = f"{type(at.B).__name__}.{name}"
    if declared.level == "derived":
        found = f"it is not declared, so derived, but there is {own}: declare it native, or remove it"
        yield Holds("not overridden", not overridden, found)
    else:
        yield Holds("overridden", overridden, f"it is declared {declared.level}, and there is no {own}")
    derived = partial(getattr(Backend, name), at.B)
    use, call = USES[name], getattr(at.B, name)
    if declared.level == "unsupported":
        yield _refused(partial(use.of, at, call), declared.reason)
        call = derived
    found = use.of(at, call)
    yield Equal("written out", found, use.truth(at))
    yield Equal("derived form", found, use.of(at, derived))


def _refused(call: Callable[[], Any], reason: str) -> Holds:
    what = "raises UnsupportedError with the reason"
    try:
        call()
    except UnsupportedError as error:
        return Holds(what, reason in str(error), f"the reason {reason!r} is not in its message: {error}")
    except Exception as error:
        return Holds(what, False, f"it raises {type(error).__name__}: {error}")
    return Holds(what, False, "it raises nothing")


def _enter(name: str) -> None:
    @once(
        "declared = provided, and computes the derived form",
        "MS-BACKEND-6",
        "MS-BACKEND-7",
        naming=lambda _: f"capability/{name}",
    )
    def check(at: LawContext) -> Iterator[Claim]:
        return _check(name, at)


for _name in MEMBERS:
    _enter(_name)


@once("what is declared is a member of the protocol", "MS-BACKEND-7", numeric=False, naming="capability/{}".format)
def names(at: LawContext) -> Iterator[Claim]:
    registered = registrations().get(at.B.name)
    unknown = sorted(set(registered.capabilities) - set(MEMBERS)) if registered else []
    yield Holds("no unknown names", not unknown, f"unknown: {', '.join(unknown)}; known: {', '.join(MEMBERS)}")
