"""Laws of the required derivatives: a cubic's are written out, and held against at every order."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from metaspec.backend.protocol import Backend
from metaspec.task import Tree
from metaspec.trees import dot, tree_map
from metaspec_conformance.laws.framework.claims import Claim, Equal, Holds, Same, raises
from metaspec_conformance.laws.framework.law_context import LawContext
from metaspec_conformance.laws.members.cubic import cubic, cubic_gradient, cubic_product
from metaspec_conformance.laws.members.required_members import member


@member("(f(x), u -> u J), which may be called again and differentiated", "MS-BACKEND-2")
def vjp(at: LawContext) -> Iterator[Claim]:
    B, (x, y) = at.B, at.array(([np.array([0.5, -1.5]), np.array(2.0)], np.array([0.25, 0.75])))
    u, w = at.array((np.array([1.0, -0.5]), np.array(3.0))), at.array(np.array([2.0, 0.5]))

    def f(x: Tree, y: Any) -> tuple[Any, ...]:
        return x[0] * x[0] * y, B.xp.sum(x[0]) * x[1]

    def pulled(x: Tree, y: Any, u: Tree) -> tuple[Tree, Any]:
        return [2 * x[0] * y * u[0] + x[1] * u[1], B.xp.sum(x[0]) * u[1]], x[0] * x[0] * u[0]

    value, pullback = B.vjp(f, x, y)
    yield Equal("value", value, f(x, y))
    yield Equal("pull-back", pullback(u), pulled(x, y, u))
    B.vjp(lambda x: x * 2, y)[1](y)
    yield Same("the same again", pullback(u), pullback(u))
    twice = tree_map(B, lambda t: t + t, u)
    yield Equal("linear", pullback(twice), pulled(x, y, twice))
    yield Same(
        "no share in an unused argument", B.vjp(lambda x, y: y * y, x, y)[1](w)[0], tree_map(B, B.xp.zeros_like, x)
    )

    def through(x: Tree) -> Any:
        return B.vjp(f, x, y)[1](u)[0][0]

    yield Equal("differentiated in x", B.vjp(through, x)[1](w)[0], [2 * y * u[0] * w, B.xp.sum(w) * u[1]])
    transposed = B.vjp(lambda u: pullback(u)[0][0], u)[1](w)[0]
    yield Equal("differentiated in u", transposed, (2 * x[0] * y * w, x[1] * B.xp.sum(w)))
    _, push = B.vjp(pullback, u)
    yield Equal("pulled back", push(([w, x[1]], y))[0], (2 * x[0] * y * w + x[0] * x[0] * y, _directed(B, x, w)))


def _directed(B: Backend, x: Tree, w: Any) -> Any:
    return x[1] * B.xp.sum(w) + B.xp.sum(x[0]) * x[1]


@member("(f(x), df/dx), of every order, in x's structure and dtype", "MS-BACKEND-1", "MS-EDGE-2")
def value_and_grad(at: LawContext) -> Iterator[Claim]:
    B, x = at.B, at.params
    f, g = partial(cubic, B), partial(cubic_gradient, B)
    value, gradient = B.value_and_grad(f)(x)
    yield Equal("value", value, f(x))
    yield Equal("gradient", gradient, g(x))

    def scaled(x: Tree, c: Any, n: Any) -> Any:
        return f(x) * c * B.xp.astype(B.xp.sum(n), c.dtype)

    c, n = at.array(np.array(0.5)), B.asarray(np.array([1, 3], "int32"))
    yield Equal("more arguments", B.value_and_grad(scaled)(x, c, n)[1], tree_map(B, lambda w: 2 * w, g(x)))
    with_aux = B.value_and_grad(lambda x: (f(x), {"s": B.xp.sum(x["a"]), "n": None}), has_aux=True)
    (value, aux), gradient = with_aux(x)
    yield Equal("aux", [value, aux["s"], gradient], [f(x), B.xp.sum(x["a"]), g(x)])
    y = tree_map(B, lambda w: w + w, x)
    yield Equal("aux of another call", with_aux(y)[0][1]["s"], B.xp.sum(y["a"]))
    one = B.value_and_grad(lambda x: B.xp.sum(x["a"]))(x)[1]
    yield Same("an unused leaf has zeros", one["b"], tree_map(B, B.xp.zeros_like, x["b"]))
    constant = B.value_and_grad(lambda x: f(at.params))({"a": x["a"], "c": x["b"][0]})[1]
    yield Same("a constant has zeros", constant, tree_map(B, B.xp.zeros_like, {"a": x["a"], "c": x["b"][0]}))
    a = x["a"]
    closed = B.value_and_grad(lambda y: B.xp.sum(y * a * a))(a)[1]
    yield Equal("the same array closed over is a constant", closed, a * a)

    def product(x: Tree) -> Any:
        return B.xp.sum(B.value_and_grad(f)(x)[1]["a"])

    alike = {"p": a, "q": a + 1.0, "r": a[:0]}
    apart = B.value_and_grad(lambda t: B.xp.sum(t["p"] * t["p"] * t["q"]) + B.xp.sum(t["r"] * t["r"]))(alike)[1]
    yield Equal("leaves of one shape", [apart["p"], apart["q"]], [2.0 * a * (a + 1.0), a * a])
    empty = B.value_and_grad(lambda t: B.xp.sum(t["r"]) + B.xp.sum(t["w"] * t["w"]))({"r": x["b"][0][:0, :], "w": a})[1]
    yield Same("a leaf without entries", empty["r"], x["b"][0][:0, :])

    v = tree_map(B, B.xp.zeros_like, x) | {"a": B.xp.ones_like(a)}
    second = B.value_and_grad(product)(x)[1]
    yield Equal("second order", second, cubic_product(B, x, v))
    third = B.value_and_grad(lambda x: B.xp.sum(B.value_and_grad(product)(x)[1]["a"] ** 2))(x)[1]
    yield Equal("third order", third["a"], 4 * second["a"])
    inner = B.value_and_grad(lambda y: B.xp.sum(y * B.value_and_grad(lambda z: B.xp.sum(z * z * y))(y)[1]))
    yield Equal("nested in another variable", inner(a)[1], 6 * a * a)
    yield raises("an error in f comes through", KeyError, lambda: B.value_and_grad(lambda x: x["nonesuch"])(x))
    yield Equal("and leaves nothing behind", B.value_and_grad(f)(x)[1], g(x))


@member(
    "where is_concrete(g) within a derivative, g has values, and looking at them changes nothing",
    "MS-BACKEND-1",
    "MS-EDGE-7",
)
def values_within(at: LawContext) -> Iterator[Claim]:
    B, x = at.B, at.params
    f, g = partial(cubic, B), partial(cubic_gradient, B)
    seen: list[Tree] = []
    truths: list[bool] = []
    refused: list[str] = []

    def looked_at(tree: Tree) -> Tree:
        if all(B.is_concrete(leaf) for leaf in B.tree_flatten(tree)[0]):
            try:
                seen.append(tree_map(B, lambda leaf: np.array(B.to_numpy(leaf)), tree))
                truths.extend(bool(B.xp.all(leaf == leaf)) for leaf in B.tree_flatten(tree)[0])
            except Exception as error:
                refused.append(" ".join(f"{type(error).__name__}: {error}".split())[:200])
        return tree

    def squared(x: Tree) -> Any:
        return dot(B, looked_at(B.value_and_grad(f)(looked_at(x))[1]), looked_at(g(x)))

    wanted = tree_map(B, lambda h: h + h, cubic_product(B, x, g(x)))
    yield Equal("second order", B.value_and_grad(squared)(x)[1], wanted)
    yield Holds("is_concrete(x) is True, so x has values", not refused, "; ".join(refused[:1]))
    yield Equal("what was seen", seen or [x, g(x), g(x)], [x, g(x), g(x)])
    _, pull = B.vjp(lambda x: looked_at(B.value_and_grad(f)(x)[1]), x)
    yield Holds("what has values has a truth", all(truths), f"x == x is {truths}")
    yield Equal("pulled back", looked_at(pull(g(x))[0]), cubic_product(B, x, g(x)))


@member("stop_gradient(x) = x, with derivatives zero at every order", "MS-BACKEND-2")
def stop_gradient(at: LawContext) -> Iterator[Claim]:
    B, x = at.B, at.params
    stopped: Callable[[Tree], Any] = lambda x: cubic(B, B.stop_gradient(x))  # noqa: E731
    zeros = tree_map(B, B.xp.zeros_like, x)
    yield Same("values", B.stop_gradient(x), x)
    yield Same("first order", B.value_and_grad(stopped)(x)[1], zeros)
    half = B.value_and_grad(lambda x: B.xp.sum(x["a"] * B.stop_gradient(x["a"])))(x)[1]
    yield Same("one factor", half["a"], x["a"])

    def second(x: Tree) -> Any:
        return B.xp.sum(B.value_and_grad(lambda x: cubic(B, x) + B.xp.sum(x["a"] * B.stop_gradient(x)["a"]))(x)[1]["a"])

    v = zeros | {"a": B.xp.ones_like(x["a"])}
    yield Equal("second order", B.value_and_grad(second)(x)[1], tree_map(B, lambda h: h, cubic_product(B, x, v)))


@member(
    "outputs and aux behind stop_gradient, and constant ones, take no part; those before and after keep their own",
    "MS-BACKEND-2",
)
def stopped_outputs(at: LawContext) -> Iterator[Claim]:
    B, (x, c) = at.B, at.array((np.array([1.0, -2.0, 0.5]), np.array([2.0, 3.0, -1.0])))
    one, zeros = B.xp.ones_like(x), B.xp.zeros_like(x)

    def f(x: Any) -> Tree:
        return {"a": B.stop_gradient(x), "b": x * x, "c": [c, B.stop_gradient(x * x)], "d": 3.0 * x, "e": c}

    value, pull = B.vjp(f, x)
    yield Equal("values", value, {"a": x, "b": x * x, "c": [c, x * x], "d": 3.0 * x, "e": c})
    u = {"a": 5.0 * one, "b": c, "c": [7.0 * one, 11.0 * one], "d": 2.0 * one, "e": 13.0 * one}
    yield Equal("vjp of several outputs", pull(u)[0], 2.0 * x * c + 6.0)
    yield Same("vjp of stopped outputs alone", B.vjp(B.stop_gradient, x)[1](c)[0], zeros)
    again = B.vjp(lambda x: B.vjp(f, x)[1](u)[0], x)[1](one)[0]
    yield Equal("vjp of the pull-back", again, 2.0 * c)
    pushed = B.jvp(f, (x,), (c,))[1]
    yield Equal("jvp", pushed, {"a": zeros, "b": 2.0 * x * c, "c": [zeros, zeros], "d": 3.0 * c, "e": zeros})

    def with_aux(x: Any) -> Any:
        return B.xp.sum(x * x * B.stop_gradient(x)), [B.stop_gradient(x), x + c, c]

    (_, aux), gradient = B.value_and_grad(with_aux, has_aux=True)(x)
    yield Equal("aux of value_and_grad", aux, [x, x + c, c])
    yield Equal("gradient of value_and_grad beside aux", gradient, 2.0 * x * x)
