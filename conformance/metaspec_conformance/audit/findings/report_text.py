"""The command or program that repeats an audit's verdict."""

import shlex
from collections.abc import Callable, Mapping
from typing import Any

DEFAULTS: Mapping[str, Any] = {
    "style": "auto",
    "result": "auto",
    "reduction": "mean",
    "dtype": "float64",
}


def snippet(function: str | Callable[..., Any], options: Mapping[str, Any]) -> str:
    """Return what makes the same audit: of a place the command, of a callable or with a problem's object Python."""
    given = {k: v for k, v in options.items() if v is not None and DEFAULTS.get(k) != v}
    problem = given.get("problem")
    if isinstance(function, str) and (problem is None or isinstance(problem, str)):
        words = [word for name, v in given.items() for word in (f"--{name.replace('_', '-')}", f"{v}")]
        return shlex.join(["metaspec", "audit", function, *words])
    shown = ", ".join(
        f"{name}={'problem' if name == 'problem' and not isinstance(v, str) else repr(v)}" for name, v in given.items()
    )
    lines = ["import metaspec as ms", ""]
    if isinstance(function, str):
        place = repr(function)
    else:
        name, module = getattr(function, "__qualname__", "function"), getattr(function, "__module__", "")
        place = name if "<" not in name else "function"
        if module and module != "__main__" and "<" not in name and "." not in name:
            lines = [f"from {module} import {name}", *lines]
    if problem is not None and not isinstance(problem, str):
        lines.append("# problem: the metaspec_conformance.audit.Problem that was given")
    lines.append(f"print(ms.audit({place}{', ' + shown if shown else ''}))")
    return "\n".join(lines)
