"""A loss drawn at random in four languages, and what its value, gradient and meta-gradients are held against.

The truth is plain NumPy: values without the tracer, differences of them for the gradient, and differences of the loss
after adaptation, which need no second derivative, for MAML. Every backend in every form is held against that.
"""

import random
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

import metaspec as ms
from metaspec.backend.arrays import asarray
from tests.random_losses.user_heads import HEADS
from tests.random_losses.user_statements import LANGUAGES, STATEMENTS, blocks

N, D, H = 4, 3, 5
LINES, ENDS = blocks(STATEMENTS), blocks(HEADS)
IMPORTS = {
    "numpy": {"np": "numpy", "special": "scipy.special"},
    "torch": {"torch": "torch", "F": "torch.nn.functional"},
    "jax": {"jnp": "jax.numpy", "jax": "jax"},
    "tensorflow": {"tf": "tensorflow"},
}
FIRST = {"tensorflow": "h = tf.linalg.matmul(b['x'], p['w'])"}
PENALTY = {"tensorflow": "tf.reduce_sum(p['v'] ** 2)"}
STEP = 0.02  # the length of the first inner step: a rate that grows with the gradient's size would leave the numbers
SAME = 1e-9  # of a result's largest entry, beside what rounding of the inputs moves it by
ROUNDING = 2.0**-42


def sources(seed: int) -> dict[str, str]:
    """Return the loss of that seed in each language."""
    rng = random.Random(seed)
    body, head = rng.sample(LINES, rng.randint(2, 6)), rng.choice(ENDS)
    found = {}
    for language in LANGUAGES:
        lines = [FIRST.get(language, "h = b['x'] @ p['w']"), *(line[language] for line in body)]
        end = f"return {head[language]} + 0.01 * {PENALTY.get(language, chr(40) + 'p[' + repr('v') + '] ** 2).sum()')}"
        found[language] = "def loss(p, b):\n    " + "\n    ".join([*lines, end]) + "\n"
    return found


def written(source: str, language: str) -> Callable[[Any, Any], Any]:
    """Return the loss as a function."""
    scope: dict[str, Any] = {"N": N, "H": H} | {k: import_module(v) for k, v in IMPORTS[language].items()}
    exec(source, scope)
    return scope["loss"]


def data(seed: int) -> tuple[dict[str, Any], list[ms.Task]]:
    """Return parameters and two tasks."""
    rng = np.random.default_rng(seed)

    def batch() -> dict[str, Any]:
        return {"x": rng.normal(size=(N, D)), "y": rng.normal(size=N), "i": rng.permutation(N)}

    params = {
        "w": rng.normal(size=(D, H)) * 0.7, "b": rng.normal(size=H) * 0.3, "v": rng.normal(size=3) * 0.5 + 1.0,
        "v2": rng.normal(size=H) * 0.5, "s": rng.normal(size=(H, H)) * 0.4,
    }  # fmt: skip
    return params, [ms.Task(batch(), batch()) for _ in range(2)]


class Trial:
    """One loss with NumPy's results, which were held against differences.

    Attributes:
        sources: The loss in each language.
        kink: Whether differences could not tell, a kink lying within their reach.
    """

    def __init__(self, seed: int) -> None:
        self.sources = sources(seed)
        self.plain = written(self.sources["numpy"], "numpy")
        self.params, self.tasks = data(seed)
        self.direction = data(seed + 1)[0]
        slope = _flat(self._gradient(self.params, self.tasks[0].support))
        self.algo = ms.MAML(ms.GradientDescent(STEP / max(1.0, float(np.linalg.norm(slope))), 2))
        self.kink = False
        self.gradient = self._first(ms.get_backend("numpy"), self.plain, self.params)
        self.single = [self._second(self.plain, self.params, task) for task in self.tasks]
        nearby = {k: v * (1 + ROUNDING * np.cos(np.arange(v.size)).reshape(v.shape)) for k, v in self.params.items()}
        self.noise = _flat(self._second(self.plain, nearby, self.tasks[0]).delta) - _flat(self.single[0].delta)
        self._against_differences()

    def forms(self, backend: str) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield each form's name with a function that computes it and raises AssertionError where it is wrong."""
        B = ms.get_backend(backend)
        loss = written(self.sources[backend], backend)
        with B.precision("float64"):
            params, *tasks = (asarray(tree, backend=B) for tree in (self.params, *self.tasks))
        mean = (_flat(self.single[0].delta) + _flat(self.single[1].delta)) / 2

        def eager() -> None:
            with B.precision("float64"):
                r = ms.meta_gradient(self.algo, loss, params, tasks[0], backend=B)
                self._same(B, r.delta, _flat(self.single[0].delta))

        def first() -> None:
            with B.precision("float64"):
                r = self._first(B, loss, params)
                self._same(B, r.delta, _flat(self.gradient.delta))
                assert abs(float(B.to_numpy(r.query_loss)) - float(self.gradient.query_loss)) <= SAME * max(
                    1.0, abs(float(self.gradient.query_loss))
                )

        def batch(params: Any, tasks: Any) -> Any:
            return ms.batch_meta_gradient(self.algo, loss, params, tasks, backend=B)

        def batched() -> None:
            with B.precision("float64"):
                self._same(B, batch(params, B.tree_stack(tasks)).delta, mean)

        def compiled() -> None:
            with B.precision("float64"):
                self._same(B, ms.compile(batch, backend=B)(params, B.tree_stack(tasks)).delta, mean)

        yield from (("gradient", first), ("eager", eager), ("batched", batched), ("compiled", compiled))

    def _first(self, B: ms.Backend, loss: Any, params: Any) -> Any:
        query = asarray(self.tasks[0].query, backend=B)
        task = ms.Task(query, query)
        return ms.meta_gradient(ms.FOMAML(ms.GradientDescent(STEP, 0)), loss, params, task, backend=B)

    def _second(self, loss: Any, params: Any, task: ms.Task) -> Any:
        return ms.meta_gradient(self.algo, loss, params, task, backend="numpy")

    def _gradient(self, params: Any, batch: Any) -> Any:
        algo = ms.FOMAML(ms.GradientDescent(STEP, 0))
        return ms.meta_gradient(algo, self.plain, params, ms.Task(batch, batch), backend="numpy").delta

    def _value(self, params: Any, batch: Any) -> float:
        return float(self.plain(*({k: np.copy(v) for k, v in part.items()} for part in (params, batch))))

    def _adapted(self, params: Any, task: ms.Task) -> Any:
        for _ in range(self.algo.inner.steps):
            g = self._gradient(params, task.support)
            params = {k: v - self.algo.inner.lr * g[k] for k, v in params.items()}
        return params

    def _against_differences(self) -> None:
        query = self.tasks[0].query
        assert abs(float(self.gradient.query_loss) - self._value(self.params, query)) <= 1e-11 * max(
            1.0, abs(float(self.gradient.query_loss))
        )
        task = self.tasks[0]
        for f, found in (
            (lambda p: self._value(p, query), self.gradient.delta),
            (lambda p: self._value(self._adapted(p, task), query), self.single[0].delta),
        ):
            slope = float(np.dot(_flat(found), _flat(self.direction)))
            table = [(f(self._along(h)) - f(self._along(-h))) / (2 * h) for h in (4e-5, 2e-5, 1e-5)]
            scale = max(1.0, float(np.linalg.norm(_flat(found)) * np.linalg.norm(_flat(self.direction))))
            if max(abs(table[0] - table[1]), abs(table[1] - table[2])) < 1e-6 * scale:
                assert abs(slope - table[2]) < 3e-6 * scale, f"slope {slope}, differences {table}"
            else:
                self.kink = True

    def _along(self, h: float) -> Any:
        return {k: v + h * self.direction[k] for k, v in self.params.items()}

    def _same(self, B: ms.Backend, delta: Any, expected: Any) -> None:
        found = _flat({k: B.to_numpy(v) for k, v in delta.items()})
        size = max(1.0, float(np.abs(expected).max()))
        apart = float(np.abs(found - expected).max())
        assert apart <= SAME * size + float(np.abs(self.noise).max()), f"apart by {apart:.2g} of {size:.2g}"


def _flat(tree: Any) -> Any:
    return np.concatenate([np.ravel(tree[k]) for k in sorted(tree)])
