"""The blind set: implementations as users write them, and what an audit has to say of each."""

from collections.abc import Mapping
from typing import Any

import metaspec as ms
from tests.audit.blind import calling, truth_jax, truth_members, truth_numpy, truth_tensorflow, truth_torch
from tests.audit.blind import truth_torch_more as torch_more
from tests.audit.blind.truth import FAILED, IDENTIFIED, OUTSIDE, Truth

ALL: list[Truth] = [
    *truth_numpy.TRUTHS,
    *truth_torch.TRUTHS,
    *torch_more.TRUTHS,
    *truth_jax.TRUTHS,
    *truth_tensorflow.TRUTHS,
    *truth_members.TRUTHS,
]
# What a verdict of "none" or "consistent" may still not say without cause.
BEHAVIOUR = {
    *("random", "call-state", "task-state", "input-changed", "buffers-changed", "globals-changed", "precision"),
    *("leaf-ignored", "raises", "timeout", "died", "none", "wrong-tree", "wrong-shape", "not-finite", "dtype"),
}

# Audited at every run, beside those of NumPy that an audit identifies at once and that are the first of their kind. The
# others take minutes (-m soak): an audit computes for three to ten seconds, and says of them what it says of these.
EVERY_RUN: Mapping[str, tuple[str, ...]] = {
    "torch_functional": ("no_graph",),
    "torch_slips": ("head_only", "never_adapts"),
    "torch_pairs": ("first_order_summed", "single_precision_first_order"),
    "torch_modules": ("clones",),
    "torch_members": ("rates by leaf", "CAVIA", "momentum", "head alone, summed"),
    "jax_implicit": ("imaml",),
    "jax_libraries": ("optax_clipped",),
    "jax_members": ("linear rates",),
    "tensorflow_tapes": ("stops",),
    "tensorflow_members": ("minibatches",),
    "keras_models": ("fomaml",),
}


def in_every_run(truth: Truth) -> bool:
    """The audit of it is quick, and says what those of others in every run do not."""
    if truth.module.startswith("numpy"):
        alike = (t for t in truth_numpy.TRUTHS if _identified_at_once(t) and _kind(t) == _kind(truth))
        return truth is next(alike, None)
    return truth.name in EVERY_RUN.get(truth.module, ()) and not truth.options.keys() & {"problem", "dtype"}


def _identified_at_once(truth: Truth) -> bool:
    return truth.verdicts in (IDENTIFIED, FAILED) and truth.claim is not None


def _kind(truth: Truth) -> tuple[object, ...]:
    return truth.algorithms, truth.faults


def identity(truth: Truth) -> str:
    """The name of a test of it."""
    return f"{truth.module}.{truth.name}: {truth.does}"


def problem_of(name: str) -> Any:
    """A problem of the user's own, with a net that has buffers or is random."""
    import torch

    from metaspec_conformance.audit import Problem
    from tests.audit.blind.code import torch_modules

    def tasks(seed: int) -> list[ms.Task]:
        generator = torch.Generator().manual_seed(seed)

        def batch(n: int) -> tuple[torch.Tensor, torch.Tensor]:
            x = torch.randn(n, 3, generator=generator, dtype=torch.float64)
            weights = torch.randn(3, 2, generator=generator, dtype=torch.float64)
            return x, (x @ weights).sin()

        return [ms.Task(batch(s), batch(q)) for s, q in ((6, 4), (5, 7), (8, 5))]

    nets = {"batch_norm": torch_modules.batch_norm_net, "dropout": torch_modules.dropout_net}
    return Problem(loss=torch_modules.mean_square, model=nets[name], tasks=tasks)


def audited(truth: Truth, **more: Any) -> Any:
    options = dict(truth.options)
    if options.get("problem") in {"batch_norm", "dropout"}:
        options["problem"] = problem_of(options["problem"])
    return ms.audit(
        calling.implementation(truth.module, truth.name), claim=truth.claim, isolated=False, **options, **more
    )


def missed(truth: Truth, report: Any) -> list[str]:
    """Where the report and the truth part."""
    faults = {finding.code for finding in report.findings if finding.severity == "fault"}
    wanted = [set(item.rstrip("?").split("|")) for item in truth.faults]
    required = [names for names, item in zip(wanted, truth.faults, strict=True) if not item.endswith("?")]
    allowed = set().union(*wanted)
    wrong = []
    if report.verdict not in truth.verdicts:
        wrong.append(f"verdict {report.verdict}, not {' or '.join(truth.verdicts)}")
    if report.algorithm not in truth.algorithms:
        wrong.append(f"algorithm {report.algorithm}, not {truth.algorithms}")
    if truth.verdicts == OUTSIDE:
        wrong += [f"accused of {code}" for code in sorted(faults & BEHAVIOUR - allowed)]
        required = [names for names in required if names <= BEHAVIOUR]
        wrong += [] if faults else ["nothing is wrong with it"]
    else:
        wrong += [f"accused of {code}" for code in sorted(faults - allowed)]
    wrong += [f"not accused of {' or '.join(sorted(names))}" for names in required if not names & faults]
    for name, expected in truth.found.items():
        value = report.found.get(name)
        if not (expected(value) if callable(expected) else value == expected):
            wrong.append(f"{name} is {value}, not {expected}")
    if truth.claim is not None and bool(report.matches_claim) != (report.algorithm == truth.claim and not faults):
        wrong.append(f"matches_claim is {report.matches_claim}")
    return wrong
