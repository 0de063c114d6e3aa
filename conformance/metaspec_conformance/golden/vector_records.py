"""What a golden vector is: plain data, every real number a decimal string."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Array(NamedTuple):
    """An array as its shape and its entries in row-major order.

    Entries are decimal strings in a file, integers where the array holds labels, numbers of some kind in a computation.
    """

    shape: tuple[int, ...]
    values: tuple[Any, ...]


Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class VectorSolver:
    """Of iMAML's system: "cg" with exactly `steps` steps from zero, or "dense"."""

    name: str
    steps: int | None = None
    damping: str = "0"


@dataclass(frozen=True)
class VectorAlgorithm:
    """One of MAML, FOMAML, Reptile, IMAML and its hyper-parameters.

    `lr` is a number, or an array for each parameter: of the parameter's shape, or of shape () for one rate per leaf.
    """

    name: str
    steps: int
    lr: str | Arrays
    regularization: str | None = None
    solver: VectorSolver | None = None


@dataclass(frozen=True)
class VectorTask:
    """Support and query set; the query set may be None, for Reptile."""

    support: Arrays
    query: Arrays | None


@dataclass(frozen=True)
class Inputs:
    """All that a computation needs; the result is a mean over the tasks."""

    id: str
    loss: str
    algorithm: VectorAlgorithm
    params: Arrays
    tasks: tuple[VectorTask, ...]


@dataclass(frozen=True)
class Outputs:
    """`delta` and `query_loss` are means over the tasks, `adapted` has the parameters theta_K of each task."""

    delta: Arrays
    adapted: tuple[Arrays, ...]
    query_loss: Array

    def named(self) -> dict[str, Array]:
        """Every leaf by a name: "delta/w", "adapted/0/w", "query_loss"."""
        found = {f"delta/{name}": leaf for name, leaf in self.delta.items()}
        for i, arrays in enumerate(self.adapted):
            found |= {f"adapted/{i}/{name}": leaf for name, leaf in arrays.items()}
        return found | {"query_loss": self.query_loss}

    def map(self, f: Callable[..., Array], *rest: "Outputs") -> "Outputs":
        """F applied leaf by leaf."""
        return Outputs(
            {name: f(leaf, *(other.delta[name] for other in rest)) for name, leaf in self.delta.items()},
            tuple(
                {name: f(leaf, *(other.adapted[i][name] for other in rest)) for name, leaf in arrays.items()}
                for i, arrays in enumerate(self.adapted)
            ),
            f(self.query_loss, *(other.query_loss for other in rest)),
        )


@dataclass(frozen=True)
class Vector:
    """Inputs, what they give to 30 digits, and how much roundoff is amplified on the way, leaf by leaf."""

    inputs: Inputs
    expected: Outputs
    amplification: Outputs


def map_values(f: Callable[[Any], Any], array: Array) -> Array:
    """F applied to every entry."""
    return Array(array.shape, tuple(f(x) for x in array.values))
