"""What a golden vector is: plain data, every real number a decimal string."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    """The solver of iMAML's system: "cg" with exactly `steps` steps from zero, or "dense"."""

    name: str
    steps: int | None = None
    damping: str = "0"


ALL = "*"
"""In the place of a parameter's name: an input that is one number for all of them."""


@dataclass(frozen=True)
class VectorRule:
    """What a member of the family has beside descent on all leaves.

    Attributes:
        name: Of the rule: a name in `oracles.entrywise_rules.RULES`.
        inputs: The rule's numbers beside `lr`, and those of what is around it: weight_decay, max_norm, sigma (of the
            proximal term), output and input (MetaCurvature's matrices). Each is an array for every parameter, of shape
            () or the parameter's, or one under the name "*".
        learned: The inputs (`lr` among them) whose derivative is in the result; `lr` is then in `inputs` too.
        per_step: The inputs whose arrays have a leading axis of K, a row for each step.
        adapt: The names of the parameters that the inner loop moves; None moves all.
        from_zero: Those parameters start at zero.
        query_weights: The weights of the query losses at theta_1 ... theta_K; None for the last alone.
        backprop_steps: The derivative is in theta_{K-j}, and through the last j steps alone; None for all.
        minibatch: Step k sees so many examples, from number k times that on, counted around the end; None for all.
    """

    name: str = "GradientDescent"
    inputs: Mapping[str, Arrays] = field(default_factory=dict)
    learned: tuple[str, ...] = ()
    per_step: tuple[str, ...] = ()
    adapt: tuple[str, ...] | None = None
    from_zero: tuple[str, ...] = ()
    query_weights: tuple[str, ...] | None = None
    backprop_steps: int | None = None
    minibatch: int | None = None


@dataclass(frozen=True)
class VectorAlgorithm:
    """One of MAML, FOMAML, Reptile, IMAML and its hyper-parameters.

    `lr` is a number, or an array for each parameter: of the parameter's shape, or of shape () for one rate per leaf.
    `rule` is None for descent on all leaves.
    """

    name: str
    steps: int
    lr: str | Arrays
    regularization: str | None = None
    solver: VectorSolver | None = None
    rule: VectorRule | None = None


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
    """`delta`, `learned` and `query_loss` are means over the tasks, `adapted` has each task's parameters theta_K."""

    delta: Arrays
    adapted: tuple[Arrays, ...]
    query_loss: Array
    learned: Mapping[str, Arrays] = field(default_factory=dict)

    def named(self) -> dict[str, Array]:
        """Every leaf by a name: "delta/w", "adapted/0/w", "query_loss"."""
        found = {f"delta/{name}": leaf for name, leaf in self.delta.items()}
        for i, arrays in enumerate(self.adapted):
            found |= {f"adapted/{i}/{name}": leaf for name, leaf in arrays.items()}
        for which, arrays in self.learned.items():
            found |= {f"learned/{which}/{name}": leaf for name, leaf in arrays.items()}
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
            {
                which: {name: f(leaf, *(other.learned[which][name] for other in rest)) for name, leaf in arrays.items()}
                for which, arrays in self.learned.items()
            },
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
