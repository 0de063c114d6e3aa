"""Whether a backend's claims hold."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from metaspec_conformance.judging import error_model
from metaspec_conformance.judging.error_model import Measured
from metaspec_conformance.judging.numpy_trees import leaves, leaves_with_paths
from metaspec_conformance.laws.framework.claims import Claim, Equal, Holds, Same, Within
from metaspec_conformance.laws.framework.law_truth import EXTENDED, LawTruth, sides


def judged(found: Sequence[Claim], truths: dict[str, LawTruth], dtype: str) -> tuple[list[Measured], str]:
    """Everything that could be measured, and what is wrong ("" if nothing is)."""
    measured: list[Measured] = []
    missing = set(truths) - {claim.what for claim in found}
    problem = f"not claimed: {', '.join(sorted(missing))}" if missing else "" if found else "nothing was claimed"
    for claim in found:
        if isinstance(claim, Holds):
            wrong = "" if claim.truth else f"{claim.what}: {claim.found or 'does not hold'}"
        elif isinstance(claim, Same):
            wrong = _difference(claim)
        elif claim.what not in truths:
            wrong = f"{claim.what}: not claimed in extended precision"
        else:
            parts = _measured(claim, truths[claim.what], dtype)
            wrong = _malformed(claim, truths[claim.what], dtype) or next(
                (_excess(m) for m in parts if not m.passed), ""
            )
            measured += parts
        problem = problem or wrong
    return measured, problem


def untrue(truths: dict[str, LawTruth]) -> str:
    """What does not hold in extended precision itself: then the law is wrong, or the tracer."""
    for truth in truths.values():
        for m in _measured(truth.exact, truth, EXTENDED):
            if not m.passed:
                return f"in extended precision {_excess(m)}"
    return ""


def _measured(claim: Equal | Within, truth: LawTruth, dtype: str) -> list[Measured]:
    if len(leaves(claim.left)) != len(leaves(claim.right)):
        return []
    bound = truth.exact.bound if isinstance(truth.exact, Within) else 0.0
    names = [path for path, _ in leaves_with_paths(claim.right)] if isinstance(claim, Equal) else [""]
    pairs = zip(names, sides(claim), sides(truth.exact), truth.amplifications, strict=True)
    return [
        error_model.measure(claim.what + name, _relative(left, right, exact, bound), amplification, dtype)
        for name, (left, right), (_, exact), amplification in pairs
    ]


def _relative(left: Any, right: Any, exact: Any, bound: float) -> float:
    """(||left - right|| - bound)_+ / ||exact right||; against an exact zero anything but zero is infinitely wrong."""
    if np.shape(left) != np.shape(right) or not (np.all(np.isfinite(left)) and np.all(np.isfinite(right))):
        return math.inf
    difference = np.asarray(left).astype(np.longdouble) - np.asarray(right).astype(np.longdouble)
    excess = max(0.0, float(error_model.norm(difference)) - bound)
    size = float(error_model.norm(exact))
    if size == 0:
        return 0.0 if excess == 0 else math.inf
    return excess / size


def _malformed(claim: Equal | Within, truth: LawTruth, dtype: str) -> str:
    left, right, exact = leaves(claim.left), leaves(claim.right), leaves(truth.exact.left)
    if not len(left) == len(right) == len(exact):
        return f"{claim.what}: {len(left)} leaves on the left, {len(right)} on the right, expected {len(exact)}"
    for (path, leaf), wanted in zip(leaves_with_paths(claim.left), exact, strict=True):
        if leaf.dtype.name != dtype:
            return f"{claim.what}{path}: dtype {leaf.dtype.name}, where {dtype} was asked for"
        if leaf.shape != wanted.shape:
            return f"{claim.what}{path}: shape {leaf.shape}, expected {wanted.shape}"
    return ""


def _difference(claim: Same) -> str:
    left, right = dict(leaves_with_paths(claim.left)), dict(leaves_with_paths(claim.right))
    if list(left) != list(right):
        return f"{claim.what}: the two trees have other leaves"
    for path, leaf in left.items():
        other = right[path]
        if (leaf.dtype, leaf.shape) != (other.dtype, other.shape):
            return f"{claim.what}{path}: {leaf.dtype.name}{leaf.shape} and {other.dtype.name}{other.shape}"
        if leaf.tobytes() != other.tobytes():
            at = next(i for i in np.ndindex(leaf.shape) if leaf[i].tobytes() != other[i].tobytes())
            entry = f"{leaf[at].item()!r} and {other[at].item()!r}" + (f" at {list(at)}" if at else "")
            return f"{claim.what}{path}: not the same to the last bit: {entry}"
    return ""


def _excess(m: Measured) -> str:
    return f"{m.leaf}: relative error {m.relative:.2e}"
