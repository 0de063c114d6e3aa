"""The arguments that an audited function names, and how it is called with them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SETS = ("x_spt", "y_spt", "x_qry", "y_qry")
LEARNED = ("rates", "step_rates", "sigma")
MANY = ("tasks", "stacked", *SETS)
DATA = ("params", "model", *MANY, "task", "support", "query", "loss", "loss_fn", "optimizer", *LEARNED)
SETTINGS = ("lr", "steps", "regularization", "cg_steps", "outer_lr")
STYLES = ("auto", "function", "module", "keras", "estimator")


class SignatureError(Exception):
    """The function cannot be called by the names of its arguments; the message says why."""


@dataclass(frozen=True)
class Signature:
    """What a function names.

    Attributes:
        makes: The names of the arguments that are known, of the function or of the estimator's maker.
        fits: Those of the estimator's `fit`.
        style: "function", "module", "estimator" or "learner".
    """

    makes: tuple[str, ...]
    fits: tuple[str, ...]
    style: str

    @property
    def names(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self.makes + self.fits)

    @property
    def single(self) -> bool:
        """Whether it is called for one task at a time."""
        return not self.names & set(MANY)

    @property
    def stacks(self) -> bool:
        """Whether it takes all tasks in arrays with an axis of tasks, which have to be of one size."""
        return bool(self.names & {"stacked", *SETS})


def signature(f: Any, style: str) -> Signature:
    """How to call it.

    Raises:
        SignatureError: An argument without a default that is not known, or neither tasks nor parameters are named.
    """
    if hasattr(f, "signature"):
        return f.signature()  # of a LearnerCode
    estimator = style == "estimator" or (style == "auto" and inspect.isclass(f) and hasattr(f, "fit"))
    makes: tuple[str, ...] = _named(f)
    fits: tuple[str, ...] = ()
    if estimator:
        fit = getattr(f, "fit", None)
        fits = _named(fit, skip_self=True) if fit is not None and inspect.isclass(f) else ("tasks",)
    found = Signature(makes, fits, "estimator" if estimator else "module" if "model" in makes else "function")
    if not found.names & {"params", "model"}:
        raise SignatureError("it names neither `params` nor `model`, so it cannot be given the meta-parameters")
    if not found.names & {*MANY, "task", "support"}:
        raise SignatureError(
            "it names none of `tasks`, `stacked`, `x_spt`, `task` and `support`, so it cannot be given any data"
        )
    return found


def _named(f: Callable[..., Any], skip_self: bool = False) -> tuple[str, ...]:
    try:
        parameters = list(inspect.signature(f).parameters.values())[skip_self:]
    except (TypeError, ValueError):
        raise SignatureError("its arguments cannot be looked at; wrap it in a function that names them") from None
    known = []
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        if p.name in DATA + SETTINGS:
            if p.kind is p.POSITIONAL_ONLY:
                raise SignatureError(f"its argument {p.name!r} can be given by position only; it is called by names")
            known.append(p.name)
        elif p.default is p.empty:
            raise SignatureError(
                f"its argument {p.name!r} is none of {', '.join(DATA + SETTINGS)} and has no default; rename or wrap it"
            )
    return tuple(known)
