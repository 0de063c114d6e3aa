"""What is said where plain NumPy or Python wants the value of a traced array: which expression, and what to write."""

import dis
import linecache
import re
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, NoReturn

from metaspec.errors import InvalidTypeError, MetaspecError
from metaspec_numpy.tracer.core import Box
from metaspec_numpy.tracer.numpy_api.refusals import instead_of
from metaspec_numpy.tracer.numpy_api.rule import RULES

ASSEMBLY = (
    "put arrays together with np.stack([a, b]), np.concatenate or np.where (xp.stack, xp.concat, xp.where); an "
    "array that is to be filled piece by piece may start as np.zeros_like(a traced array)"
)
REMEDIES = {  # the last name in the expression -> what to write
    "dot": "a method of a NumPy array does not see traced arguments; write x @ w or np.dot(x, w)",
    "logsumexp": "write ms.array_namespace(x).logsumexp(x, axis=...)",
    "softmax": "write ms.array_namespace(x).softmax(x, axis=...)",
    "log_softmax": "write ms.array_namespace(x).log_softmax(x, axis=...)",
    "solve": "write np.linalg.solve(a, b)",
    "r_": "write np.concatenate([a, b])",
    "c_": "write np.column_stack([a, b])",
    **dict.fromkeys(("array", "asarray", "asanyarray", "fromiter"), ASSEMBLY),
    **dict.fromkeys(
        ("float64", "float32", "float16", "longdouble", "float", "int"), "leave it out: arithmetic takes arrays"
    ),
    "full": "write np.broadcast_to(value, shape).copy()",
    **dict.fromkeys(("ascontiguousarray", "asfortranarray", "require"), "leave it out: a traced array has no layout"),
    **dict.fromkeys(("item", "tolist"), "leave it out: a loss may return the array"),
    **dict.fromkeys(("put", "fill", "copyto", "place", "putmask", "itemset"), ASSEMBLY),
    **dict.fromkeys(
        ("inv", "det", "cholesky", "svd", "pinv", "lstsq", "norm", "eigh", "qr"), "write the function of np.linalg"
    ),
}
OUTSIDE = ("numpy", "scipy")
_BOX = re.compile(r"\w+Box\b|<traced array|WRITEBACKIFCOPY")
GENERAL = (
    "choose between arrays with np.where(condition, a, b) (xp.where) in place of `if`, keep arithmetic in arrays, and "
    "pass what must be known beforehand in as a plain number, not in the batch"
)


def no_value(kind: str) -> Callable[..., NoReturn]:
    """A method that refuses to give the value away."""

    def refuse(x: Box, *args: Any, **options: Any) -> NoReturn:
        expression, remedy = _asked(sys._getframe(1))
        where = f" in `{expression}`" if expression else ""
        raise InvalidTypeError(
            f"{kind} of a traced array of shape {x.shape}{where}: its value is not known while a derivative, a batch "
            f"or a recording is traced. Instead, {remedy}."
        )

    return refuse


def foreign(error: Exception) -> InvalidTypeError | None:
    """What is said in place of an error of code that knows nothing of traced arrays; None where it is not about one."""
    if isinstance(error, MetaspecError) or not _BOX.search(str(error)):
        return None
    expression, remedy = "", GENERAL
    tb = error.__traceback__
    while tb is not None:
        code = tb.tb_frame.f_code
        if tb.tb_frame.f_globals.get("__name__", "").split(".")[0] not in (*OUTSIDE, "metaspec", "metaspec_numpy"):
            expression = _source(code, tb.tb_lasti)
            remedy = instead_of(_callee(expression))
        tb = tb.tb_next
    where = f" in `{expression}`" if expression else ""
    return InvalidTypeError(
        f"{type(error).__name__}{where}, to which a traced array was given that takes plain ones alone ({error}). "
        f"Instead, {remedy}."
    )


def _asked(frame: FrameType | None) -> tuple[str, str]:
    """The expression of the first caller outside of NumPy and SciPy, and what to write for it."""
    masked = False
    while frame is not None and (module := frame.f_globals.get("__name__", "")).split(".")[0] in OUTSIDE:
        masked = masked or module.startswith("numpy.ma")
        frame = frame.f_back
    if frame is None:
        return "", GENERAL
    operation = dis.opname[frame.f_code.co_code[frame.f_lasti]]
    expression = _source(frame.f_code, frame.f_lasti)
    if masked:
        return expression, instead_of("masked_array")
    if operation == "STORE_SUBSCR":
        return f"{expression} = ...", f"{ASSEMBLY}"
    names = re.findall(r"[A-Za-z_]\w*", re.sub(r"[(\[].*", "", expression, flags=re.DOTALL) or expression)
    called = _callee(expression)
    name = called or (names[-1] if names else "")
    if operation == "BINARY_SUBSCR" and name not in REMEDIES:
        return expression, "index with np.take(array, ids, axis=0) in place of array[ids] (xp.take)"
    if name in REMEDIES:
        return expression, REMEDIES[name]
    if called in {f.__name__ for f in RULES}:  # it takes traced arrays, and was given a list of them
        return expression, f"put the list together first: np.{called}(np.stack([a, b]))"
    return expression, instead_of(name) if called and name not in ("bool", "range", "complex") else GENERAL


def _callee(expression: str) -> str:
    """The name of what the outermost call of `f(x).g(y)` calls: g."""
    if not expression.endswith(")"):
        return ""
    depth = 0
    for i in range(len(expression) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(expression[i], 0)
        if depth == 0:
            found = re.search(r"(\w+)\s*$", expression[:i])
            return found.group(1) if found else ""
    return ""


def _source(code: CodeType, instruction: int) -> str:
    """The text of the expression of an instruction; empty where there is no source."""
    positions = list(code.co_positions())[instruction // 2]
    first, last, start, end = positions
    if first is None or last is None or start is None or end is None:
        return ""
    lines = [linecache.getline(code.co_filename, i).encode() for i in range(first, last + 1)]
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]
    return " ".join(line.decode(errors="replace").strip() for line in lines)[:200]
