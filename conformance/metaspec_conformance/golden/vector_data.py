"""Parameters and tasks of the golden vectors, by loss."""

from itertools import pairwise

from metaspec_conformance.golden.vector_drawing import Draw, constant
from metaspec_conformance.golden.vector_records import Array, Arrays, VectorTask

COUPLED: dict[str, tuple[int, ...]] = {"a": (3,), "b": (3,), "c": ()}  # two leaves of one shape, and a scalar


def parameters(seed: int, shapes: dict[str, tuple[int, ...]], scale: float = 1.0) -> Arrays:
    """Random parameters of the given shapes."""
    draw = Draw(seed)
    return {name: draw.reals(*shape, scale=scale) for name, shape in shapes.items()}


def network(seed: int, widths: tuple[int, ...]) -> Arrays:
    """Parameters of a tanh network: w0 of shape (inputs, outputs), b0, w1 ..."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        shapes |= {f"w{layer}": (inputs, outputs), f"b{layer}": (outputs,)}
    return parameters(seed, shapes)


def quadratic(seed: int, d: int, support: int = 2, query: int = 1) -> VectorTask:
    """Coupled positive definite forms, other ones for the query."""
    draw = Draw(seed)

    def batch(n: int) -> Arrays:
        return {"H": draw.positive_definite(n, d), "c": draw.reals(n, d)}

    return VectorTask(batch(support), batch(query))


def multiple_of_identity(seed: int, d: int, factor: str) -> VectorTask:
    """H = factor I."""
    draw = Draw(seed)

    def batch() -> Arrays:
        entries = tuple(factor if i == j else "0" for i in range(d) for j in range(d))
        return {"H": Array((1, d, d), entries), "c": draw.reals(1, d)}

    return VectorTask(batch(), batch())


def linear(seed: int, d: int) -> VectorTask:
    """H = 0."""
    draw = Draw(seed)
    return VectorTask(*({"H": constant("0", n, d, d), "c": draw.reals(n, d)} for n in (1, 2)))


def rosenbrock(seed: int, support: int = 2, query: int = 3) -> VectorTask:
    """Centres a and stiffnesses s."""
    draw = Draw(seed)
    return VectorTask(*({"a": draw.positive(n), "s": draw.positive(n)} for n in (support, query)))


def regression(seed: int, inputs: int, outputs: int, support: int = 4, query: int = 3) -> VectorTask:
    """Points and values for the tanh network."""
    draw = Draw(seed)
    return VectorTask(*({"x": draw.reals(n, inputs), "y": draw.reals(n, outputs)} for n in (support, query)))


def positive_regression(seed: int) -> VectorTask:
    """Points of three numbers and positive values."""
    draw = Draw(seed)
    return VectorTask(*({"x": draw.reals(n, 3), "y": draw.positive(n)} for n in (5, 3)))


def classification(seed: int, inputs: int, classes: int, support: int = 5, query: int = 4) -> VectorTask:
    """Points and integer labels."""
    draw = Draw(seed)
    return VectorTask(*({"x": draw.reals(n, inputs), "y": draw.labels(n, classes)} for n in (support, query)))
