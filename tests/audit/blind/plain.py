"""What an implementation computes, calculated plainly: dense Hessians, complex steps, no framework's derivatives.

The net of the audit, net(x) = tanh(x @ w1 + b1) @ w2 + b2, and the mean squared error over all entries, on one vector
of 24 parameters in the order b1, b2, w1, w2.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

Vector = np.ndarray
LEAVES = {"b1": (3,), "b2": (3,), "w1": (3, 3), "w2": (3, 3)}
SIZE = sum(int(np.prod(shape)) for shape in LEAVES.values())
PLACES = {}
for _name, _shape in LEAVES.items():
    _start = max((place.stop for place in PLACES.values()), default=0)
    PLACES[_name] = slice(_start, _start + int(np.prod(_shape)))


class Asked(NamedTuple):
    """The numbers that an implementation is called with."""

    lr: float = 0.1
    steps: int = 3
    regularization: float = 2.0
    cg_steps: int = 4
    outer_lr: float = 0.5


class Pair(NamedTuple):
    """A batch as code gets it."""

    x: Any
    y: Any


Batch = tuple[np.ndarray, np.ndarray]
Tasks = list[tuple[Batch, Batch]]
Oracle = Callable[[Vector, Tasks, Asked], Vector]


def leaves(theta: Vector) -> dict[str, np.ndarray]:
    """The vector as a dictionary of arrays."""
    return {name: theta[place].reshape(LEAVES[name]) for name, place in PLACES.items()}


def loss(theta: Vector, batch: Batch) -> Any:
    """The mean squared error over all entries."""
    p, (x, y) = leaves(theta), batch
    return np.mean((np.tanh(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"] - y) ** 2)


def gradient(theta: Vector, batch: Batch) -> Vector:
    """Return the loss's gradient; also at a complex theta."""
    p, (x, y) = leaves(theta), batch
    z = np.tanh(x @ p["w1"] + p["b1"])
    e = 2 * (z @ p["w2"] + p["b2"] - y) / y.size
    d = (e @ p["w2"].T) * (1 - z * z)
    return np.concatenate([d.sum(0), e.sum(0), (x.T @ d).ravel(), (z.T @ e).ravel()])


def derivative(f: Callable[[Vector], Any], theta: Vector) -> np.ndarray:
    """Rows df/dtheta_j by complex steps: exact to roundoff for an analytic f."""
    step = 1e-30
    return np.array([np.imag(f(theta + 1j * step * unit)) / step for unit in np.eye(theta.size)])


def hessian(theta: Vector, batch: Batch) -> np.ndarray:
    """The Hessian of `loss`."""
    return derivative(lambda t: gradient(t, batch), theta)


def joined(first: Batch, second: Batch) -> Batch:
    """Two batches as one."""
    return np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])


def only(*names: str) -> Vector:
    """One in the places of these leaves, else zero."""
    chosen = np.zeros(SIZE)
    for name in names:
        chosen[PLACES[name]] = 1
    return chosen


# --- what a step of an inner optimiser takes in the gradient's place -------------------------------------------------
Direction = Callable[[Vector, Vector], Vector]  # gradient, theta -> what lr is multiplied by


def descent() -> Direction:
    return lambda g, theta: g


def momentum(mu: float) -> Callable[[], Direction]:
    def start() -> Direction:
        state = [np.zeros(SIZE)]

        def direction(g: Vector, theta: Vector) -> Vector:
            state[0] = mu * state[0] + g
            return state[0]

        return direction

    return start


def adam(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Direction:
    m, v, count = np.zeros(SIZE), np.zeros(SIZE), 0

    def direction(g: Vector, theta: Vector) -> Vector:
        nonlocal m, v, count
        m, v, count = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2, count + 1
        return m / (1 - b1**count) / (np.sqrt(v / (1 - b2**count)) + eps)

    return direction


def clipped(limit: float) -> Callable[[], Direction]:
    def direction(g: Vector, theta: Vector) -> Vector:
        norm = np.sqrt(np.sum(g * g))
        return g * limit / norm if norm.real > limit else g

    return lambda: direction


def normalised() -> Direction:
    return lambda g, theta: g / np.sqrt(np.sum(g * g))


def signs() -> Direction:
    return lambda g, theta: np.sign(g.real) + 0 * g


def decaying(weight: float) -> Callable[[], Direction]:
    return lambda: lambda g, theta: g + weight * theta


def mean(queries: list[Batch]) -> list[float]:
    return [1 / len(queries)] * len(queries)


def total(queries: list[Batch]) -> list[float]:
    return [1.0] * len(queries)


def pooled(queries: list[Batch]) -> list[float]:
    return [len(q[0]) / sum(len(q[0]) for q in queries) for q in queries]


@dataclass(frozen=True)
class Program:
    """A program of the four families, with its faults. Each field's default is the right thing."""

    rule: str
    steps: Callable[[int], int] = lambda k: k
    rate: Callable[[float], float] = lambda lr: lr
    factors: Callable[[int, int], float] = lambda k, count: 1.0  # of the Hessian term of step k
    inner: str = "support"
    outer: str = "query"
    inner_factor: Callable[[Batch], float] = lambda batch: 1.0
    outer_factor: Callable[[Batch], float] = lambda batch: 1.0
    direction: Callable[[], Direction] = descent
    optimizer_outlives_task: bool = False
    weights: Callable[[list[Batch]], list[float]] = mean
    scale: Callable[[Asked], float] = lambda asked: 1.0
    adapted: Vector = field(default_factory=lambda: np.ones(SIZE))
    returned: Vector = field(default_factory=lambda: np.ones(SIZE))
    exchanged: tuple[tuple[str, str], ...] = ()
    carried: bool = False
    proximal: bool = True
    operator: Callable[[np.ndarray, float], np.ndarray] = lambda h, lam: np.eye(SIZE) + h / lam
    solve: Callable[[np.ndarray, Vector, Asked], Vector] = lambda a, g, asked: np.linalg.solve(a, g)

    def __call__(self, phi: Vector, tasks: Tasks, asked: Asked) -> Vector:
        deltas = list(self._deltas(phi, tasks, asked))
        weights = self.weights([query for _, query in tasks])
        delta = self.scale(asked) * sum(w * d for w, d in zip(weights, deltas, strict=True)) * self.returned
        for names in self.exchanged:
            a, b = (PLACES[name] for name in names)
            delta[a], delta[b] = delta[b].copy(), delta[a].copy()
        return delta

    def _deltas(self, phi: Vector, tasks: Tasks, asked: Asked) -> Iterator[Vector]:
        start, direction, jacobian = phi, self.direction(), np.eye(SIZE)
        for support, query in tasks:
            data = {"support": support, "query": query, "both": joined(support, query)}
            inner, outer = data[self.inner], data[self.outer]
            if not self.optimizer_outlives_task:
                direction = self.direction()

            def adapt(theta: Vector, inner: Batch = inner, direction: Direction = direction) -> list[Vector]:
                path, here = [theta], theta
                for _ in range(self.steps(asked.steps)):
                    g = self.inner_factor(inner) * gradient(here, inner)
                    if self.rule == "imaml" and self.proximal:
                        g = g + asked.regularization * (here - theta)
                    here = here - self.adapted * self.rate(asked.lr) * direction(g, here)
                    path.append(here)
                return path

            path = adapt(start)
            g = self.outer_factor(outer) * gradient(path[-1], outer)
            if self.rule == "maml":
                jacobian = self._chain(path, inner, asked) @ (jacobian if self.carried else np.eye(SIZE))
                yield jacobian.T @ g
            elif self.rule == "fomaml":
                yield g
            elif self.rule == "gradient":
                yield self.outer_factor(outer) * gradient(phi, outer)
            elif self.rule == "reptile":
                yield phi - path[-1]
            else:
                h = self.inner_factor(inner) * hessian(path[-1], inner)
                yield self.solve(self.operator(h, asked.regularization), g, asked)
            start = path[-1] if self.carried else phi

    def _chain(self, path: list[Vector], inner: Batch, asked: Asked) -> np.ndarray:
        """d theta_K / d theta_0, each step's Hessian term with its factor."""
        jacobian, count = np.eye(SIZE), len(path) - 1
        for k, theta in enumerate(path[:-1]):
            h = self.factors(k, count) * self.inner_factor(inner) * hessian(theta, inner)
            jacobian = (np.eye(SIZE) - self.adapted[:, None] * self.rate(asked.lr) * h) @ jacobian
        return jacobian


def conjugate_gradients(count: Callable[[Asked], int]) -> Callable[[np.ndarray, Vector, Asked], Vector]:
    """The minimiser of x.Ax/2 - b.x over the Krylov space of that dimension, which is CG's iterate."""

    def solve(a: np.ndarray, b: Vector, asked: Asked) -> Vector:
        basis = np.zeros((SIZE, 0))
        for _ in range(count(asked)):
            new = a @ basis[:, -1] if basis.shape[1] else b
            for _ in range(2):
                new = new - basis @ (basis.T @ new)
            basis = np.column_stack([basis, new / np.linalg.norm(new)])
        return basis @ np.linalg.solve(basis.T @ a @ basis, basis.T @ b)

    return solve


def neumann(count: Callable[[Asked], int]) -> Callable[[np.ndarray, Vector, Asked], Vector]:
    """sum over j <= count of (I - A)^j b."""

    def solve(a: np.ndarray, b: Vector, asked: Asked) -> Vector:
        return sum(np.linalg.matrix_power(np.eye(SIZE) - a, j) @ b for j in range(count(asked) + 1))

    return solve


def by_leaf(h: np.ndarray) -> np.ndarray:
    """The Hessian without what couples two leaves."""
    return h * sum(np.outer(only(name), only(name)) for name in LEAVES)


def of_objective(objective: Callable[..., Any]) -> Oracle:
    """The mean over tasks of an objective's exact gradient, where the objective is analytic in phi."""

    def oracle(phi: Vector, tasks: Tasks, asked: Asked) -> Vector:
        each = [derivative(partial(objective, support=s, query=q, asked=asked), phi) for s, q in tasks]
        return np.mean(each, axis=0)

    return oracle


def path(theta: Vector, batch: Batch, asked: Asked, direction: Callable[[], Direction] = descent) -> list[Vector]:
    """theta_0 .. theta_K, also at a complex theta."""
    found, rule = [theta], direction()
    for _ in range(asked.steps):
        found.append(found[-1] - asked.lr * rule(gradient(found[-1], batch), found[-1]))
    return found
