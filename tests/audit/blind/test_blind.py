"""The audit of code whose writer knew nothing of how the audit works."""

from pathlib import Path
from typing import Any

import pytest

import metaspec as ms
from tests.audit.blind import calling
from tests.audit.blind.blindset import ALL, identity, in_every_run
from tests.audit.blind.truth import OUTSIDE, Truth

HERE = Path(__file__).parent
# What a verdict of "none" or "consistent" may still not say without cause.
BEHAVIOUR = {
    *("random", "call-state", "task-state", "input-changed", "buffers-changed", "globals-changed", "precision"),
    *("leaf-ignored", "raises", "timeout", "died", "none", "wrong-tree", "wrong-shape", "not-finite", "dtype"),
}


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


QUICK = [truth for truth in ALL if in_every_run(truth)]
LONG = [pytest.param(truth, marks=pytest.mark.soak) for truth in ALL if not in_every_run(truth)]


@pytest.mark.parametrize("truth", [*QUICK, *LONG], ids=identity)
def test_an_audit_tells_the_truth(truth: Truth) -> None:
    report = audited(truth)
    assert missed(truth, report) == [], str(report)


BY_NAME = {("torch_functional", "graph_at_end"), ("jax_by_hand", "reward")}
ALONE = [truth for truth in ALL if (truth.module, truth.name) in BY_NAME and not truth.options]


@pytest.mark.parametrize("truth", ALONE, ids=identity)
def test_an_audit_in_a_child_process_tells_it_too(truth: Truth) -> None:
    place = f"{HERE / 'code' / truth.module}.py:{truth.name}"
    report = ms.audit(place, claim=truth.claim, timeout=120.0)
    assert missed(truth, report) == [], str(report)
