"""Checks of an audit's options before anything is called."""

from typing import Any

from metaspec.backend.registry import installed_registration
from metaspec.checks.arguments import check_choice, checked_integer, checked_number
from metaspec_conformance.audit.calls.signature import STYLES
from metaspec_conformance.audit.hypotheses.family import CLAIMS
from metaspec_conformance.audit.problem import SUPPLIED

READINGS = ("auto", "meta_gradient", "params")
NUMBERS = ("lr", "steps", "regularization", "cg_steps", "outer_lr")


def check_options(options: dict[str, Any]) -> None:
    """Raise an error that names the first option with a value that it cannot have.

    Raises:
        InvalidArgumentError, InvalidTypeError: An option is not one of those that `audit` takes.
        UnknownBackendError, BackendNotInstalledError: There is no such framework, or it is not installed.
    """
    if options["claim"] is not None:
        check_choice(options["claim"], "audit: claim", CLAIMS)
    check_choice(options["style"], "audit: style", STYLES)
    check_choice(options["result"], "audit: result", READINGS)
    check_choice(options["reduction"], "audit: reduction", ("mean", "sum"))
    check_choice(options["dtype"], "audit: dtype", ("float64", "float32"))
    if isinstance(options["problem"], str) and ":" not in options["problem"]:
        check_choice(options["problem"], "audit: problem", SUPPLIED)
    for name in ("lr", "regularization", "outer_lr"):
        if options[name] is not None:
            checked_number(options[name], f"audit: {name}", "a finite number > 0", lambda x: x > 0)
    for name in ("steps", "cg_steps"):
        if options[name] is not None:
            checked_integer(options[name], f"audit: {name}", least=1)
    if options["framework"] is not None:
        installed_registration(options["framework"])
