"""An audit from its options to its report, in the process that it is called in."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from metaspec.backend.registry import registration_of
from metaspec.backend.selection import get_backend
from metaspec.errors import BackendNotInstalledError, InvalidArgumentError, InvalidTypeError
from metaspec_conformance.audit.audit_options import NUMBERS
from metaspec_conformance.audit.audit_state import Claims
from metaspec_conformance.audit.calls.audited_function import AuditedFunction, framework_of
from metaspec_conformance.audit.calls.counted_calls import FailedError
from metaspec_conformance.audit.calls.harness import AuditHarness
from metaspec_conformance.audit.calls.learners import LearnerCode
from metaspec_conformance.audit.calls.native_models import native_models
from metaspec_conformance.audit.calls.observation import Failure
from metaspec_conformance.audit.calls.signature import Signature, SignatureError, signature
from metaspec_conformance.audit.findings.audit_report import AuditReport, Finding
from metaspec_conformance.audit.findings.conclusion import conclude, failure_report
from metaspec_conformance.audit.pipeline import AuditPipeline
from metaspec_conformance.audit.problem import SUPPLIED, Problem
from metaspec_conformance.audit.thresholds import FIT_SETTINGS, SEARCH_SECONDS, SECOND_PROBLEM_SECONDS
from metaspec_conformance.workers.user_errors import describe_user_error

Notify = Callable[[bool], None]
"""Told True before and False after each call of the audited function."""


def audit_in_this_process(function: Any, options: dict[str, Any], notify: Notify) -> AuditReport:
    """Return the report on a function.

    Args:
        function: A callable or its place.
        options: Checked options of `audit`.
        notify: For whoever keeps the time of calls.

    Raises:
        InvalidArgumentError, InvalidTypeError: There is no such function or problem, or the problem cannot be computed.
    """
    settings = {name: options[name] for name in NUMBERS if options[name] is not None}
    claims = Claims(options["claim"], settings, options["reduction"])
    audited = AuditedFunction(function, options["network"] or "", options["step_function"] or "")
    try:
        loaded = _loaded(audited, notify)
        problem = _problem(options["problem"])
        named = signature(loaded, options["style"])
        if not isinstance(problem, Problem) or named.style != "learner":
            _check_named(named.names, problem)
        framework = options["framework"] or ("tensorflow" if options["style"] == "keras" else framework_of(loaded))
        registered = registration_of(framework)
        if not registered.installed:
            missing = f"{framework!r} needs {', '.join(registered.requires)}, not installed; run: {registered.install}"
            raise FailedError(Failure("framework-missing", missing))
        models = native_models(framework) if named.names & {"model", "loss_fn", "optimizer"} else None
        dtype = options["dtype"]
        if named.style == "learner":
            assert models is not None
            network = loaded.network_of(loaded.make(FIT_SETTINGS), models)
            dtype = next(iter(models.parameters(network).values())).dtype.name
    except FailedError as failed:
        return failure_report(failed.failure, claims, 0)
    except SignatureError as error:
        return failure_report(Failure("signature", str(error)), claims, 0)
    except BackendNotInstalledError as error:
        return failure_report(Failure("framework-missing", str(error)), claims, 0)

    def run(problem: str | Problem, seconds: float) -> AuditReport:
        harness = AuditHarness(
            audited, named, get_backend(framework), models, problem, dtype, options["result"], notify
        )
        return _run(AuditPipeline(harness, claims, seconds))

    if problem is not None:
        return run(problem, SEARCH_SECONDS)
    first = run(SUPPLIED[0], SEARCH_SECONDS)
    return _on_the_other_problem(first, named, run)


def _run(pipeline: AuditPipeline) -> AuditReport:
    try:
        return conclude(pipeline.harness, pipeline.claims, pipeline.run(), pipeline.caller.count)
    except FailedError as failed:
        return failure_report(failed.failure, pipeline.claims, pipeline.caller.count)
    except SignatureError as error:
        return failure_report(Failure("signature", str(error)), pipeline.claims, 0)


def _on_the_other_problem(
    first: AuditReport, named: Signature, run: Callable[[str, float], AuditReport]
) -> AuditReport:
    """Return the report on classification of code that has a loss of its own, which regression does not explain."""
    if first.verdict not in ("none", "failed") or named.names & {"loss", "loss_fn"}:
        return first
    second = run(SUPPLIED[1], SECOND_PROBLEM_SECONDS)
    if second.verdict not in ("identified", "consistent"):
        return first
    text = f"the problem was {SUPPLIED[1]}: the code has a loss of its own, and {SUPPLIED[0]} does not explain it"
    note = Finding("problem-chosen", "note", text)
    return replace(second, findings=(*second.findings, note), calls=first.calls + second.calls)


def _loaded(audited: AuditedFunction, notify: Notify) -> Any:
    """Import the function.

    Raises:
        InvalidArgumentError, InvalidTypeError: There is no such module or function, or it is none.
        FailedError: Its module cannot be imported.
    """
    try:
        notify(True)
        found = audited.load()
        notify(False)
    except (InvalidArgumentError, InvalidTypeError):
        raise
    except ModuleNotFoundError as error:
        place = audited.place
        if isinstance(place, str) and error.name and f"{place.rpartition(':')[0]}.".startswith(f"{error.name}."):
            raise InvalidArgumentError(f"audit: {place!r}: there is no module {error.name!r}") from None
        text = f"its module cannot be imported: no module named {error.name!r}"
        raise FailedError(Failure("framework-missing", text)) from None
    except Exception as error:
        text = f"its module cannot be imported: {describe_user_error(error)}"
        raise FailedError(Failure("raises", text)) from None
    if not callable(found) and not isinstance(found, LearnerCode):
        raise InvalidArgumentError(
            f"audit: {audited.place!r} is a {type(found).__name__}; expected a function or class"
        )
    return found


def _problem(given: str | Problem | None) -> str | Problem | None:
    if not isinstance(given, str) or ":" not in given:
        return given
    try:
        found: Any = AuditedFunction(given).load()
    except (InvalidArgumentError, InvalidTypeError):
        raise
    except Exception as error:
        raise InvalidArgumentError(f"problem: {given!r} cannot be imported: {type(error).__name__}: {error}") from None
    if not isinstance(found, Problem):
        raise InvalidArgumentError(f"problem: {given!r} is a {type(found).__name__}; expected a Problem")
    return found


def _check_named(names: frozenset[str], problem: Any) -> None:
    own = isinstance(problem, Problem)
    if own and problem.model is None and "model" in names:
        raise SignatureError("it names `model`, and the problem has `params`; give a Problem with model=")
    if own and problem.model is not None and "model" not in names:
        raise SignatureError("the problem has a model, and the function does not name `model`")
    if own and "loss_fn" in names:
        raise SignatureError("it names `loss_fn`, which only the supplied problems have; it may name `loss`")
    if names & {"optimizer"} and "model" not in names:
        raise SignatureError("it names `optimizer`, which is one over the parameters of `model`; it names no `model`")
