"""The inner loop of a member of the family on flat lists, in any arithmetic: mpmath's numbers, or jets.

Everything around the rule stands here: what moves, the rule's inputs by entry and step, clipping, decay, the proximal
term, matrices on the gradient, minibatches. The rules themselves are in `oracles.entrywise_rules`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from metaspec_conformance.golden.vector_records import ALL, Array, Arrays, VectorAlgorithm, VectorRule
from metaspec_conformance.oracles.entrywise_rules import RULES

Number = Any
Numbers = list[Number]
State = list[tuple[Number, ...]]
Slope = Callable[[Numbers, int], Numbers]
"""(theta, k) -> the gradient of the inner loss of step k."""


class FamilyLoop:
    """The steps of one algorithm from one start.

    Args:
        algorithm: Has a rule.
        like: The parameters, for names and shapes.
        inputs: The rule's inputs by name, as numbers.
        sqrt: The arithmetic's root.
    """

    def __init__(
        self, algorithm: VectorAlgorithm, like: Arrays, inputs: Mapping[str, Arrays], sqrt: Callable[[Number], Number]
    ) -> None:
        assert algorithm.rule is not None
        self.given: VectorRule = algorithm.rule
        self.like, self.inputs, self.sqrt = like, inputs, sqrt
        self.rule = RULES[self.given.name]
        self.names = [name for name in sorted(like) for _ in like[name].values]
        adapt = self.given.adapt
        self.moves = [adapt is None or name in adapt for name in self.names]

    def start(self, phi: Numbers) -> tuple[Numbers, State]:
        """theta_0 and s_0."""
        theta = [0 * x if name in self.given.from_zero else x for x, name in zip(phi, self.names, strict=True)]
        return theta, [(0 * x,) * self.rule.state for x in phi]

    def step(self, theta: Numbers, state: State, slope: Slope, origin: Numbers, k: int) -> tuple[Numbers, State]:
        """theta_{k+1} and s_{k+1}; `origin` is theta_0."""
        h = [self._hyper(j, k) for j in range(len(theta))]
        g = self._changed(slope(theta, k), theta, origin, h)
        moved = [
            self.rule.move(theta[j], state[j], g[j], k, h[j], self.sqrt) if self.moves[j] else (theta[j], state[j])
            for j in range(len(theta))
        ]
        return [x for x, _ in moved], [s for _, s in moved]

    def _changed(self, g: Numbers, theta: Numbers, origin: Numbers, h: Sequence[Mapping[str, Number]]) -> Numbers:
        if "weight_decay" in self.inputs:
            g = [a + b["weight_decay"] * x for a, x, b in zip(g, theta, h, strict=True)]
        if "sigma" in self.inputs:
            g = [a + (x - p) / (b["sigma"] * b["sigma"]) for a, x, p, b in zip(g, theta, origin, h, strict=True)]
        if "max_norm" in self.inputs:  # of gradients that are longer
            size = self.sqrt(sum((a * a for a, yes in zip(g, self.moves, strict=True) if yes), 0 * g[0]))
            g = [a * b["max_norm"] / size for a, b in zip(g, h, strict=True)]
        if "output" in self.inputs:
            g = [x for name in sorted(self.like) for x in self._curved(name, self._of(name, g))]
        return g

    def _curved(self, name: str, g: Numbers) -> Numbers:
        """I G O of a matrix, O g of a vector (and of a scalar), row by row."""
        columns = self.like[name].shape[-1] if self.like[name].shape else 1
        rows = [g[i : i + columns] for i in range(0, len(g), columns)]
        out = self.inputs["output"][name].values
        rows = [[_dot(row, out[j * columns : (j + 1) * columns]) for j in range(columns)] for row in rows]
        if len(self.like[name].shape) == 2:
            left, n = self.inputs["input"][name].values, len(rows)
            rows = [
                [_dot(left[i * n : (i + 1) * n], [row[j] for row in rows]) for j in range(columns)] for i in range(n)
            ]
        return [x for row in rows for x in row]

    def _of(self, name: str, flat: Numbers) -> Numbers:
        return [x for x, other in zip(flat, self.names, strict=True) if other == name]

    def _hyper(self, j: int, k: int) -> dict[str, Number]:
        """The inputs of entry j at step k."""
        found = {}
        for which, arrays in self.inputs.items():
            name = ALL if ALL in arrays else self.names[j]
            if which in ("output", "input"):
                continue
            values: Sequence[Number] = arrays[name].values
            if which in self.given.per_step:
                size = len(values) // arrays[name].shape[0]
                values = values[k * size : (k + 1) * size]
            found[which] = values[0] if len(values) == 1 else values[j - self.names.index(name)]
        return found


def part(batch: Arrays, size: int | None, k: int) -> Arrays:
    """The examples of step k."""
    return batch if size is None else {name: _rows(array, size, k) for name, array in batch.items()}


def _rows(array: Array, size: int, k: int) -> Array:
    n = array.shape[0]
    width = len(array.values) // n
    chosen = [(k * size + i) % n for i in range(size)]
    values = tuple(x for e in chosen for x in array.values[e * width : (e + 1) * width])
    return Array((size, *array.shape[1:]), values)


def _dot(a: Sequence[Number], b: Sequence[Number]) -> Number:
    terms = [x * y for x, y in zip(a, b, strict=True)]
    return sum(terms[1:], terms[0])
