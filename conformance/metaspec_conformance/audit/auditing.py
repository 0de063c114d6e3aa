"""`audit` and `assert_computes`."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from metaspec.backend.registry import registration_of
from metaspec.backend.selection import get_backend
from metaspec.checks.arguments import check_choice, checked_integer, checked_number
from metaspec.errors import BackendNotInstalledError, InvalidArgumentError, InvalidTypeError
from metaspec_conformance.audit.audit_state import Claims
from metaspec_conformance.audit.calls.audited_function import AuditedFunction, framework_of
from metaspec_conformance.audit.calls.caller import FailedError
from metaspec_conformance.audit.calls.harness import AuditHarness
from metaspec_conformance.audit.calls.native_models import native_models
from metaspec_conformance.audit.calls.observation import Failure
from metaspec_conformance.audit.calls.signature import STYLES, SignatureError, signature
from metaspec_conformance.audit.calls.supervising import supervised
from metaspec_conformance.audit.findings.audit_report import AuditReport
from metaspec_conformance.audit.findings.conclusion import conclude, failure_report
from metaspec_conformance.audit.findings.report_text import snippet
from metaspec_conformance.audit.pipeline import AuditPipeline
from metaspec_conformance.audit.problem import SUPPLIED, Problem

ALGORITHMS = ("maml", "fomaml", "reptile", "imaml")
READINGS = ("auto", "meta_gradient", "params")


def audit(
    function: str | Callable[..., Any],
    *,
    claim: str | None = None,
    style: str = "auto",
    framework: str | None = None,
    result: str = "auto",
    problem: str | Problem = "regression",
    lr: float | None = None,
    steps: int | None = None,
    regularization: float | None = None,
    cg_steps: int | None = None,
    outer_lr: float | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    dtype: str = "float64",
    isolated: bool | None = None,
    timeout: float = 60.0,
) -> AuditReport:
    """Say what a piece of code computes: which algorithm, with which deviations, to which digit.

    The function is called with the arguments that it names (`params` or `model`, `tasks`, `loss`, `lr` ...; the list is
    in docs/audit.md), on problems that tell algorithms apart, and what it gives is held against every hypothesis.

    Args:
        function: "module:function", "path/file.py:function", or a callable.
        claim: What it is meant to compute: "maml", "fomaml", "reptile" or "imaml".
        style: "function", "module", "keras" or "estimator"; "auto" tells them apart by the arguments' names.
        framework: The backend whose arrays it takes; by default the one that its module imports, else "numpy".
        result: "meta_gradient", "params" (the updated parameters), or "auto".
        problem: "regression", "classification", or a `Problem` of your own, or "module:attribute" of one.
        lr: The inner rate that the code has of its own, where it names no `lr`. What is left out is found.
        steps: Likewise the number of inner steps.
        regularization: Likewise lambda.
        cg_steps: Likewise the steps of conjugate gradients.
        outer_lr: Likewise the outer rate.
        reduction: What is meant over tasks: "mean" or "sum".
        dtype: The format of what goes in: "float64" or "float32".
        isolated: In a process of its own, where a crash or a call that does not end is a finding; by default where the
            function is given as a string.
        timeout: Seconds for one call, in a process of its own.

    Returns:
        AuditReport.

    Raises:
        InvalidArgumentError, InvalidTypeError: An argument is not one of these, or there is no such function.

    Example:
        >>> import metaspec as ms
        >>> def step(params, tasks, loss, lr, steps):
        ...     return ms.batch_meta_gradient(ms.FOMAML(ms.GradientDescent(lr, steps)), loss, params, tasks).delta
        >>> ms.audit(step, claim="maml").sentence
        'computes FO-MAML; claimed MAML'
    """
    options = {
        "claim": claim,
        "style": style,
        "framework": framework,
        "result": result,
        "problem": problem,
        "lr": lr,
        "steps": steps,
        "regularization": regularization,
        "cg_steps": cg_steps,
        "outer_lr": outer_lr,
        "reduction": reduction,
        "dtype": dtype,
    }
    _check(options)
    start = time.perf_counter()
    if isolated if isolated is not None else isinstance(function, str):
        report = supervised(_importable(function), options, timeout)
    else:
        report = audit_in_this_process(function, options, lambda calling: None)
    return replace(report, seconds=time.perf_counter() - start, snippet=snippet(function, options))


def assert_computes(claim: str, function: str | Callable[..., Any], **options: Any) -> AuditReport:
    """Assert that a function computes an algorithm, to roundoff and without any fault.

    Args:
        claim: As in `audit`.
        function: As in `audit`.
        **options: As in `audit`.

    Returns:
        AuditReport.

    Raises:
        AssertionError: It does not; the message is the report.

    Example:
        >>> assert_computes("maml", "my_package.my_module:meta_gradient")  # doctest: +SKIP
    """
    report = audit(function, claim=claim, **options)
    if not report.passed:
        raise AssertionError(str(report))
    return report


def audit_in_this_process(function: Any, options: dict[str, Any], notify: Callable[[bool], None]) -> AuditReport:
    """The audit in this process; `notify` is told before and after each call of the function."""
    settings = {name: options[name] for name in ("lr", "steps", "regularization", "cg_steps", "outer_lr")}
    claims = Claims(
        options["claim"], {name: value for name, value in settings.items() if value is not None}, options["reduction"]
    )
    target = AuditedFunction(function)
    try:
        notify(True)
        f = target.load()
        notify(False)
    except (InvalidArgumentError, InvalidTypeError):
        raise
    except ModuleNotFoundError as error:
        if isinstance(function, str) and error.name and f"{function.rpartition(':')[0]}.".startswith(f"{error.name}."):
            raise InvalidArgumentError(f"audit: {function!r}: there is no module {error.name!r}") from None
        missing = (error.name or "").partition(".")[0]
        return failure_report(
            Failure("framework-missing", f"its module cannot be imported: no module named {missing!r}"), claims, 0
        )
    except Exception as error:
        return failure_report(
            Failure("raises", f"its module cannot be imported: {type(error).__name__}: {error}"), claims, 0
        )
    problem = _problem(options["problem"])
    try:
        named = signature(f, options["style"])
        _check_named(named.names, problem)
        framework = options["framework"] or ("tensorflow" if options["style"] == "keras" else framework_of(f))
        registered = registration_of(framework)
        if not registered.installed:
            raise BackendNotInstalledError(
                f"{framework!r} needs {', '.join(registered.requires)}, not installed; run: {registered.install}"
            )
        models = native_models(framework) if named.names & {"model", "loss_fn", "optimizer"} else None
    except SignatureError as error:
        return failure_report(Failure("signature", str(error)), claims, 0)
    except BackendNotInstalledError as error:
        return failure_report(Failure("framework-missing", str(error)), claims, 0)
    harness = AuditHarness(
        target, named, get_backend(framework), models, problem, options["dtype"], options["result"], notify
    )
    pipeline = AuditPipeline(harness, claims)
    try:
        return conclude(harness, claims, pipeline.run(), pipeline.caller.count)
    except FailedError as failed:
        return failure_report(failed.failure, claims, pipeline.caller.count)


def _problem(given: str | Problem) -> str | Problem:
    if isinstance(given, str) and ":" in given:
        try:
            found: Any = AuditedFunction(given).load()
        except (InvalidArgumentError, InvalidTypeError):
            raise
        except Exception as error:
            raise InvalidArgumentError(
                f"problem: {given!r} cannot be imported: {type(error).__name__}: {error}"
            ) from None
        if not isinstance(found, Problem):
            raise InvalidArgumentError(f"problem: {given!r} is a {type(found).__name__}; expected a Problem")
        return found
    return given


def _check(options: dict[str, Any]) -> None:
    if options["claim"] is not None:
        check_choice(options["claim"], "audit: claim", ALGORITHMS)
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
        registration_of(options["framework"])


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


def _importable(function: str | Callable[..., Any]) -> str:
    if isinstance(function, str):
        return function
    name, module = getattr(function, "__qualname__", "<"), getattr(function, "__module__", "__main__")
    if "<" in name or module == "__main__":
        raise InvalidArgumentError(
            "audit: isolated=True needs a function that can be imported; give 'module:function', or isolated=False"
        )
    return f"{module}:{name}"
