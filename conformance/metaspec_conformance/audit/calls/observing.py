"""One call of the audited function: with inputs of its own, and observed for what it gave and what it changed."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from metaspec.backend.protocol import Backend
from metaspec_conformance.audit.calls.call_arguments import ProblemInputs, arguments
from metaspec_conformance.audit.calls.native_models import NativeModels
from metaspec_conformance.audit.calls.observation import Failure, Observed
from metaspec_conformance.audit.calls.result_reading import ResultReader, WrongResultError
from metaspec_conformance.audit.calls.side_effects import differ, random_state, snapshot
from metaspec_conformance.audit.calls.signature import Signature
from metaspec_conformance.workers.user_errors import describe_user_error


def observe(
    f: Callable[..., Any],
    signature: Signature,
    given: ProblemInputs,
    B: Backend,
    models: NativeModels | None,
    shapes: Sequence[tuple[int, ...]],
    dtype: str,
    reading: str,
) -> Observed:
    """Call a function once, with inputs of its own, and observe what it gives and what it changes.

    Args:
        f: The audited function, or the maker of an estimator.
        signature: The arguments that it names.
        given: What the problem puts in.
        B: The function's backend.
        models: Its framework's models, where it names `model`.
        shapes: Of the objective's leaves.
        dtype: The format of what goes in.
        reading: What the result is said to be: "meta_gradient", "params" or "auto".
    """
    with B.precision(dtype):
        values = arguments(signature, given, B, models, dtype)
        model = values.get("model")
        before = snapshot(values, model, models, B)
        settings, randomness = dict(B.guard.settings()), random_state(models)
        reader = ResultReader(B, models, given.order, shapes, reading, tuple(given.learned))
        start = time.perf_counter()
        try:
            returned, made = _called(f, signature, values)
            if signature.style == "learner" and models is not None and models.gradients(model) is None:
                returned = None if models.backpropagate(returned) else returned
        except (Exception, SystemExit) as error:
            return Observed(Failure("raises", describe_user_error(error)), seconds=time.perf_counter() - start)
        seconds = time.perf_counter() - start
        after = snapshot(values, model, models, B)
        try:
            found = reader.read(returned, made, model, before, after)
        except WrongResultError as error:
            found = Observed(Failure(error.code, str(error)))
        settings_after = B.guard.settings()
        differing = tuple(name for name, value in settings_after.items() if settings.get(name) != value)
        return replace(
            found,
            changed=tuple(name for name in ("params", "tasks") if differ(before.get(name), after.get(name))),
            buffers=tuple(k for k, v in before.get("buffers", {}).items() if differ([v], [after["buffers"].get(k)])),
            settings=differing,
            drew=random_state(models) != randomness or any("random" in name for name in differing),
            seconds=seconds,
        )


def _called(f: Any, signature: Signature, values: Mapping[str, Any]) -> tuple[Any, Any]:
    if signature.style == "learner":
        return f.called(values["learner"], values), None
    made = f(**{name: values[name] for name in signature.makes})
    if signature.style != "estimator":
        return made, None
    made.fit(**{name: values[name] for name in signature.fits})
    return None, made
