"""Derivatives of an adapter broken on purpose."""

from typing import Any

from metaspec.trees import add_scaled, scale, subtract, tree_map
from metaspec_numpy.tracer.core import Box
from tests.conformance.seeded_faults.fault import Patch, fault, member

adapter = "adapter"


def gradients(patch: Patch, change: Any) -> None:
    """`change(B, x, gradient)` for what `value_and_grad` gives."""

    def value_and_grad(original: Any, self: Any, f: Any, has_aux: bool = False) -> Any:
        def wrapped(x: Any, *args: Any) -> Any:
            value, gradient = original(self, f, has_aux)(x, *args)
            return value, change(self, x, gradient)

        return wrapped

    member(patch, "value_and_grad", value_and_grad)


def products(patch: Patch, change: Any) -> None:
    """`change(B, f, x, args, product)` for the product that `linearize_grad` gives."""

    def linearize_grad(original: Any, self: Any, f: Any) -> Any:
        def linearize(x: Any, *args: Any) -> Any:
            gradient, product = original(self, f)(x, *args)
            return gradient, change(self, f, x, args, product)

        return linearize

    member(patch, "linearize_grad", linearize_grad)


def concrete(B: Any, tree: Any) -> bool:
    return all(B.is_concrete(leaf) for leaf in B.tree_flatten(tree)[0])


@fault(adapter, 18, margin=True)
def leaves_exchanged(patch: Patch) -> None:
    """Gradients of two leaves of one shape change places."""

    def exchanged(B: Any, x: Any, gradient: Any) -> Any:
        leaves, structure = B.tree_flatten(gradient)
        shapes = [leaf.shape for leaf in leaves]
        i = next((i for i, shape in enumerate(shapes) if shape in shapes[:i]), None)
        if i is not None:
            j = shapes.index(shapes[i])
            leaves[i], leaves[j] = leaves[j], leaves[i]
        return B.tree_unflatten(structure, leaves)

    gradients(patch, exchanged)


@fault(adapter, 13)
def unused_leaf_has_none(patch: Patch) -> None:
    """The gradient of a leaf that is not used is None."""

    def none(B: Any, x: Any, gradient: Any) -> Any:
        leaves, structure = B.tree_flatten(gradient)
        unused = [B.is_concrete(g) and g.size > 0 and not bool(B.xp.any(g != 0)) for g in leaves]
        return B.tree_unflatten(structure, [None if u else g for g, u in zip(leaves, unused, strict=True)])

    gradients(patch, none)


@fault(adapter, 13)
def unused_leaf_has_garbage(patch: Patch) -> None:
    """The gradient of a leaf that is not used is whatever was in memory: here the leaf itself."""

    def garbage(B: Any, x: Any, gradient: Any) -> Any:
        def leaf(w: Any, g: Any) -> Any:
            return w + 0 if B.is_concrete(g) and g.size and not bool(B.xp.any(g != 0)) else g

        return tree_map(B, leaf, x, gradient)

    gradients(patch, garbage)


@fault(adapter, 20, margin=True)
def constant_gradient_halved(patch: Patch) -> None:
    """Half the gradient of a leaf on which it does not depend."""

    def value_and_grad(original: Any, self: Any, f: Any, has_aux: bool = False) -> Any:
        def wrapped(x: Any, *args: Any) -> Any:
            value, gradient = original(self, f, has_aux)(x, *args)
            if not concrete(self, (x, gradient)):
                return value, gradient
            moved = original(self, f, has_aux)(tree_map(self, lambda w: w + 1, x), *args)[1]
            if not concrete(self, moved):
                return value, gradient
            same = all(
                bool(self.xp.all(a == b))
                for a, b in zip(self.tree_flatten(gradient)[0], self.tree_flatten(moved)[0], strict=True)
            )
            return value, scale(self, 0.5, gradient) if same else gradient

        return wrapped

    member(patch, "value_and_grad", value_and_grad)


@fault(adapter, margin=True)
def half_the_product(patch: Patch) -> None:
    """H v / 2 for H v: the gradient of v.Hv/2 taken for granted."""
    products(patch, lambda B, f, x, args, product: lambda v: scale(B, 0.5, product(v)))


@fault(adapter, 17, margin=True)
def product_by_coarse_differences(patch: Patch) -> None:
    """H v by a one-sided difference of gradients, with a step of a quarter."""

    def differences(B: Any, f: Any, x: Any, args: Any, product: Any) -> Any:
        def quotient(v: Any) -> Any:
            ahead, behind = B.grad(f)(add_scaled(B, x, 0.25, v), *args), B.grad(f)(x, *args)
            return scale(B, 4.0, subtract(B, ahead, behind))

        return quotient

    products(patch, differences)


@fault(adapter, 17, margin=True)
def product_by_differences_with_one_step_for_two(patch: Patch) -> None:
    """A central difference of gradients divided by the step, not by twice the step."""

    def differences(B: Any, f: Any, x: Any, args: Any, product: Any) -> Any:
        def quotient(v: Any) -> Any:
            ahead, behind = (B.grad(f)(add_scaled(B, x, h, v), *args) for h in (2.0**-10, -(2.0**-10)))
            return scale(B, 2.0**10, subtract(B, ahead, behind))

        return quotient

    products(patch, differences)


@fault(adapter, margin=True)
def products_of_the_last_linearization(patch: Patch) -> None:
    """One tape for all: every product is taken at the point that was linearized last."""
    last: list[Any] = [None]

    def shared(B: Any, f: Any, x: Any, args: Any, product: Any) -> Any:
        if not concrete(B, (x, args)):
            return product
        last[0] = product
        return lambda v: last[0](v)

    products(patch, shared)


@fault(adapter, margin=True)
def block_diagonal_hessian(patch: Patch) -> None:
    """H v without what couples the leaves."""

    def blocks(B: Any, f: Any, x: Any, args: Any, product: Any) -> Any:
        def alone(v: Any) -> Any:
            leaves, structure = B.tree_flatten(v)
            found = []
            for i in range(len(leaves)):
                one = B.tree_unflatten(structure, [w if i == j else 0 * w for j, w in enumerate(leaves)])
                found.append(B.tree_flatten(product(one))[0][i])
            return B.tree_unflatten(structure, found)

        return alone

    products(patch, blocks)


@fault(adapter)
def hvp_doubled(patch: Patch) -> None:
    """`hvp` alone is 2 H v: the gradient of v.Hv."""
    member(patch, "hvp", lambda original, self, f: lambda *a: scale(self, 2.0, original(self, f)(*a)))


@fault(adapter)
def jvp_of_the_first_argument(patch: Patch) -> None:
    """`jvp` leaves out the tangents of all arguments but the first."""

    def jvp(original: Any, self: Any, f: Any, primals: Any, tangents: Any) -> Any:
        kept = [t if i == 0 else tree_map(self, lambda w: 0 * w, t) for i, t in enumerate(tangents)]
        return original(self, f, primals, kept)

    member(patch, "jvp", jvp)


@fault(adapter)
def own_share_reduced_twice(patch: Patch) -> None:
    """`all_reduce` begins its sum with this process's share, which it then adds once more."""
    member(patch, "all_reduce", lambda original, self, tree, op="sum": scale(self, 2.0, original(self, tree, op)))


@fault(adapter, 3)
def pull_back_used_up(patch: Patch) -> None:
    """A pull-back gives zeros when it is called again."""
    pulled(patch, lambda B, n, shares: shares if n == 1 else tree_map(B, lambda w: 0 * w, shares))


@fault(adapter, 1)
def pull_back_detached(patch: Patch) -> None:
    """What a pull-back gives cannot be differentiated."""
    pulled(patch, lambda B, n, shares: B.stop_gradient(shares))


def pulled(patch: Patch, change: Any) -> None:
    """`change(B, n, shares)` for what the n-th call of a pull-back gives."""

    def vjp(original: Any, self: Any, f: Any, *primals: Any) -> Any:
        value, pullback = original(self, f, *primals)
        calls = [0]

        def once(cotangent: Any) -> Any:
            calls[0] += 1
            return change(self, calls[0], pullback(cotangent))

        return value, once

    member(patch, "vjp", vjp)


@fault(adapter)
def stop_gradient_stops_the_innermost(patch: Patch) -> None:
    """`stop_gradient` blocks the innermost derivative and no other."""

    member(
        patch,
        "stop_gradient",
        lambda original, self, tree: tree_map(self, lambda x: x.value if isinstance(x, Box) else x, tree),
    )


@fault(adapter)
def stop_gradient_lets_through(patch: Patch) -> None:
    """`stop_gradient` is the identity."""
    member(patch, "stop_gradient", lambda original, self, tree: tree)


@fault(adapter)
def aux_of_the_first_call(patch: Patch) -> None:
    """`value_and_grad` gives the aux of the function's first call for ever."""

    def value_and_grad(original: Any, self: Any, f: Any, has_aux: bool = False) -> Any:
        kept: list[Any] = []

        def wrapped(x: Any, *args: Any) -> Any:
            value, gradient = original(self, f, has_aux)(x, *args)
            if has_aux and value[1] is not None:
                kept.append(value[1])
                value = value[0], kept[0]
            return value, gradient

        return wrapped

    member(patch, "value_and_grad", value_and_grad)


@fault(adapter)
def scalar_leaf_becomes_a_vector(patch: Patch) -> None:
    """The gradient of a scalar has shape (1,)."""
    gradients(
        patch, lambda B, x, g: tree_map(B, lambda leaf: B.xp.reshape(leaf, (1,)) if leaf.shape == () else leaf, g)
    )


@fault(adapter)
def zero_size_leaf_loses_its_shape(patch: Patch) -> None:
    """The gradient of a leaf without entries has shape (0,)."""
    gradients(
        patch, lambda B, x, g: tree_map(B, lambda leaf: B.xp.reshape(leaf, (-1,)) if 0 in leaf.shape else leaf, g)
    )
