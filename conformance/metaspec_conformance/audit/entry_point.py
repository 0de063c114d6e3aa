"""`audit` and `assert_computes`."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from metaspec.checks.arguments import checked_number
from metaspec.errors import InvalidArgumentError
from metaspec_conformance.audit.audit_options import check_options
from metaspec_conformance.audit.audit_running import audit_in_this_process
from metaspec_conformance.audit.calls.supervising import supervised
from metaspec_conformance.audit.findings.audit_report import AuditReport
from metaspec_conformance.audit.findings.report_text import snippet
from metaspec_conformance.audit.problem import Problem


def audit(
    function: str | Callable[..., Any],
    *,
    claim: str | None = None,
    style: str = "auto",
    framework: str | None = None,
    result: str = "auto",
    problem: str | Problem | None = None,
    lr: float | None = None,
    steps: int | None = None,
    regularization: float | None = None,
    cg_steps: int | None = None,
    outer_lr: float | None = None,
    network: str | None = None,
    step_function: str | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    dtype: str = "float64",
    isolated: bool | None = None,
    timeout: float = 60.0,
    memory: float = 16.0,
    progress: Callable[[int], None] | None = None,
) -> AuditReport:
    """Say what a piece of code computes: which algorithm, with which deviations, to which digit.

    The function is called with the arguments that it names (`params` or `model`, `tasks`, `loss`, `lr` ...; the list is
    in docs/audit.md), on problems that tell algorithms apart, and what it gives is held against every hypothesis.

    Args:
        function: "module:function", "path/file.py:function", or a callable.
        claim: What it is meant to compute: "maml", "fomaml", "reptile", "imaml", or a member of the family: "anil",
            "boil", "cavia", "meta-sgd", "maml++", "truncated-maml", "sigma-maml", "sigma-imaml", "sigma-reptile".
        style: "function", "module", "keras" or "estimator"; "auto" tells them apart by the arguments' names.
        framework: The backend whose arrays it takes; by default the one that its module imports, else "numpy".
        result: "meta_gradient", "params" (the updated parameters), or "auto".
        problem: "regression", "classification", or a `Problem` of your own, or "module:attribute" of one. By default
            regression; classification where the function names no loss and regression does not explain it.
        lr: The inner rate that the code has of its own, where it names no `lr`. What is left out is found.
        steps: Likewise the number of inner steps.
        regularization: Likewise lambda.
        cg_steps: Likewise the steps of conjugate gradients.
        outer_lr: Likewise the outer rate.
        network: Where code that keeps its own network has it: an attribute of what it makes, "meta.net", say.
        step_function: Which of its methods, or which function of a script "path/file.py", is a meta-training step.
        reduction: What is meant over tasks: "mean" or "sum".
        dtype: The format of what goes in: "float64" or "float32".
        isolated: In a process of its own, where a crash or a call that does not end is a finding; by default where the
            function is given as a string.
        timeout: Seconds for one call, in a process of its own.
        memory: GiB of data that the process may hold; 0 for no limit. Processes and memory are contained, and are gone
            when the audit ends; files and the network are not: the code runs with your rights.
        progress: Called with the number of calls before and after each.

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
        "network": network,
        "step_function": step_function,
        "reduction": reduction,
        "dtype": dtype,
    }
    check_options(options)
    checked_number(timeout, "audit: timeout", "seconds > 0", lambda x: x > 0)
    checked_number(memory, "audit: memory", "GiB >= 0", lambda x: x >= 0)
    start = time.perf_counter()
    if isolated if isolated is not None else isinstance(function, str):
        report = supervised(_importable(function), options, timeout, memory, progress or (lambda calls: None))
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


def _importable(function: str | Callable[..., Any]) -> str:
    if isinstance(function, str):
        return function
    name, module = getattr(function, "__qualname__", "<"), getattr(function, "__module__", "__main__")
    if "<" in name or module == "__main__":
        raise InvalidArgumentError(
            "audit: isolated=True needs a function that can be imported; give 'module:function', or isolated=False"
        )
    return f"{module}:{name}"
