"""iMAML's operator a I + b H/lambda: how its numbers may follow lambda, and how it is written."""

from metaspec_conformance.audit.thresholds import SAME_NUMBER

Operator = tuple[float, float]
"""(a, b) of a I + b H/lambda."""

DAMPED = "H/(lambda + c)"
FORMS = ("constant", "H", "lambda H", "I + lambda I", "I + I/lambda", DAMPED)
"""How it may follow lambda; "constant": a and b do not."""


def damping(operator: Operator, strength: float, factor: float) -> float:
    """Return c of a I + H/(lambda + c), of which `operator` is `factor` times what it is: 1/a."""
    return strength * (factor / operator[1] - 1)


def at_strength(operator: Operator, form: str, fitted: float, now: float, factor: float) -> Operator:
    """Return the operator at another lambda.

    Args:
        operator: At the lambda that it was found at.
        form: One of `FORMS`.
        fitted: That lambda.
        now: The other one.
        factor: On the solution.
    """
    (a, b), ratio = operator, now / fitted
    if form in ("I + lambda I", "I + I/lambda"):
        return 1 + (a - 1) * (ratio if form == "I + lambda I" else 1 / ratio), b
    if form == DAMPED:
        c = damping(operator, fitted, factor)
        return a, b * ratio * (fitted + c) / (now + c)
    return a, b * {"H": ratio, "lambda H": ratio**2}.get(form, 1.0)


def written(operator: Operator, form: str, strength: float, factor: float = 1.0, power: int = 0) -> str:
    """Return the operator divided by `factor` lambda^`power`, in words.

    Example:
        >>> from metaspec_conformance.audit.hypotheses.implicit_operators import written
        >>> written((1.0, 0.5), "H/(lambda + c)", 3.0)
        'I + H/(lambda + 3)'
        >>> written((4.0, 1.0), "I + I/lambda", 3.0, power=-1)
        'lambda I + 9 I + H'
    """
    a, b = operator
    identity = {
        "I + lambda I": [(1.0, 0), ((a - 1) / strength, 1)],
        "I + I/lambda": [(1.0, 0), ((a - 1) * strength, -1)],
    }.get(form, [(a, 0)])
    hessian = {"H": (b / strength, 0), "lambda H": (b / strength**2, 1), DAMPED: (factor, 0)}.get(form, (b, -1))
    end = f"/(lambda + {damping(operator, strength, factor):.6g})" if form == DAMPED else ""
    terms = [_term(x / factor, n - power, "I") for x, n in identity]
    return " + ".join([*terms, _term(hessian[0] / factor, hessian[1] - power, "H") + end])


def _term(x: float, power: int, matrix: str) -> str:
    number = "" if abs(x - 1) <= SAME_NUMBER else f"{x:.6g} "
    size = f"lambda{f'^{abs(power)}' if abs(power) > 1 else ''}"
    return number + (f"{size} {matrix}" if power > 0 else f"{matrix}/{size}" if power else matrix)
