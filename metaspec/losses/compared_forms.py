"""The batched and the compiled form of a loss's derivatives, held against one evaluation after the other."""

from collections.abc import Callable, Iterator
from typing import Any

from metaspec.backend.arrays import computing
from metaspec.losses import finding_messages
from metaspec.losses.findings import LossFinding
from metaspec.losses.points import Evaluator, Vector, finite, moved, sizes_of, total
from metaspec.task import Tree


def against_rows(
    at: Evaluator,
    points: list[Vector],
    gradients: list[Vector],
    product: Vector,
    v: Vector,
    scale: list[float],
    noise: float,
    compiled: bool,
) -> Iterator[LossFinding]:
    """Yield where the batched form, or the compiled one, gives something else than each point alone.

    Args:
        at: The loss.
        points: Two points, batched as two tasks would be.
        gradients: The gradient at each.
        product: H v at the second.
        v: The direction of the product.
        scale: Each leaf's typical magnitude.
        noise: The error of a gradient from rounding, in units of the parameters' size.
        compiled: Compile the batched form, with products, too.
    """
    B = at.B
    leaves, structure = B.tree_flatten(at.batch)
    arrays = [i for i, leaf in enumerate(leaves) if B.is_array(leaf)]

    def batch(parts: list[Any]) -> Tree:
        whole = list(leaves)  # a number is the same in every task
        for i, part in zip(arrays, parts, strict=True):
            whole[i] = part
        return B.tree_unflatten(structure, whole)

    def gradient(params: Tree, parts: list[Any], tangent: Tree) -> list[Tree]:
        return [at.value_and_gradient_of(params, batch(parts))[1]]

    def gradient_and_product(params: Tree, parts: list[Any], tangent: Tree) -> list[Tree]:
        return list(at.gradient_and_product(params, batch(parts), tangent))

    with computing(B, at.params):
        stacked, tangents = B.tree_stack(list(map(at.tree, points))), B.tree_stack([at.tree(v)] * len(points))
        parts = [B.xp.stack([leaves[i]] * len(points)) for i in arrays]
        forms: list[tuple[str, Callable[..., Any]]] = [("batched", at.ready(B.tuning.map_tasks(gradient)))]
        if compiled:
            forms.append(("compiled", B.compile(B.tuning.map_tasks(gradient_and_product))))
        for form, f in forms:
            try:
                found = [at.vector(tree) for tree in f(stacked, parts, tangents)]
            except Exception as error:
                yield finding_messages.form_fails(form, error)
                return
            rows = [[leaf[i] for leaf in found[0]] for i in range(len(points))]
            for row, alone in zip(rows, gradients, strict=True):
                yield from _compared(at, form, "gradient", row, alone, scale, noise)
            for products in found[1:]:
                if not finite(products):
                    yield finding_messages.second_not_finite("at the parameters as they are")
                else:
                    last = [leaf[-1] for leaf in products]
                    yield from _compared(at, form, "Hessian-vector product", last, product, scale, 2 * noise)


def _compared(
    at: Evaluator, form: str, what: str, row: Vector, alone: Vector, scale: list[float], noise: float
) -> Iterator[LossFinding]:
    size = total(sizes_of(alone, scale))
    miss = total(sizes_of(moved(row, -1.0, alone), scale))
    if not miss <= 10 * at.roundoff**0.5 * size + 30 * noise:
        yield finding_messages.form_differs(form, what, miss / size if size else float("inf"))
