"""Einstein summation, two operands at a time, each pair as one stacked matrix product."""

import math

from metaspec.errors import InvalidArgumentError
from metaspec_numpy.tracer.core import Array
from metaspec_numpy.tracer.functions.linalg_functions import diagonal
from metaspec_numpy.tracer.functions.shaping import moveaxis, permute_dims, reshape
from metaspec_numpy.tracer.rules.matmul import matmul_p
from metaspec_numpy.tracer.rules.structure import sum_p


def einsum(subscripts: str, /, *operands: Array, optimize: object = None) -> Array:
    """The sum of products that `subscripts` ("ij,jk->ik") describes, with diagonals ("ii") and "..." for more axes."""
    inputs, output = _parse(subscripts, [x.ndim for x in operands])
    if len(inputs) != len(operands):
        raise InvalidArgumentError(f"einsum: {subscripts!r} names {len(inputs)} operands; {len(operands)} were given")
    terms = [_diagonals(labels, x) for labels, x in zip(inputs, operands, strict=True)]
    while len(terms) > 1:
        (la, a), (lb, b), *rest = terms
        terms = [_pair(la, a, lb, b, set(output).union(*(labels for labels, _ in rest))), *rest]
    labels, x = terms[0]
    labels, x = _drop(labels, x, set(output))
    return permute_dims(x, [labels.index(label) for label in output])


def _parse(subscripts: str, ranks: list[int]) -> tuple[list[str], str]:
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    spare = [c for c in map(chr, range(ord("A"), ord("z") + 1)) if c.isalpha() and c not in subscripts]
    widest = ""
    for i, (labels, rank) in enumerate(zip(inputs, ranks, strict=False)):
        if "..." in labels:
            dots = "".join(reversed(spare[: rank - len(labels) + 3]))
            inputs[i] = labels.replace("...", dots)
            widest = max(widest, dots, key=len)
        if len(inputs[i]) != rank:
            raise InvalidArgumentError(f"einsum: the term {labels!r} does not fit an operand of rank {rank}")
    if not arrow:
        flat = "".join(inputs)
        output = widest + "".join(sorted(c for c in set(flat) if flat.count(c) == 1 and c not in widest))
    return inputs, output.replace("...", widest)


def _diagonals(labels: str, x: Array) -> tuple[str, Array]:
    while len(set(labels)) < len(labels):
        repeated = next(c for c in labels if labels.count(c) > 1)
        i = labels.index(repeated)
        j = labels.index(repeated, i + 1)
        x = diagonal(moveaxis(x, (i, j), (-2, -1)))
        labels = labels[:i] + labels[i + 1 : j] + labels[j + 1 :] + repeated
    return labels, x


def _drop(labels: str, x: Array, kept: set[str]) -> tuple[str, Array]:
    axes = tuple(i for i, label in enumerate(labels) if label not in kept)
    return "".join(c for c in labels if c in kept), sum_p(x, axis=axes, keepdims=False) if axes else x


def _pair(la: str, a: Array, lb: str, b: Array, later: set[str]) -> tuple[str, Array]:
    la, a = _drop(la, a, later | set(lb))
    lb, b = _drop(lb, b, later | set(la))
    both = [c for c in la if c in lb]
    stacked, summed = [c for c in both if c in later], [c for c in both if c not in later]
    rows, columns = [c for c in la if c not in lb], [c for c in lb if c not in la]
    sizes = dict(zip(la, a.shape, strict=True))
    for label, n in zip(lb, b.shape, strict=True):
        if sizes.setdefault(label, n) != n:
            raise InvalidArgumentError(f"einsum: the label {label!r} stands for the lengths {sizes[label]} and {n}")

    def length(labels: list[str]) -> int:
        return math.prod(sizes[c] for c in labels)

    lead = [sizes[c] for c in stacked]
    left = permute_dims(a, [la.index(c) for c in stacked + rows + summed])
    right = permute_dims(b, [lb.index(c) for c in stacked + summed + columns])
    left = reshape(left, (*lead, length(rows), length(summed)))
    right = reshape(right, (*lead, length(summed), length(columns)))
    out = reshape(matmul_p(left, right), [sizes[c] for c in stacked + rows + columns])
    return "".join(stacked + rows + columns), out
