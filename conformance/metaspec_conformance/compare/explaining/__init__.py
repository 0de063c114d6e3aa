"""Why two sides part: each explanation is tested by taking its cause away and computing again."""

from collections.abc import Iterator
from dataclasses import replace

from metaspec_conformance.compare.comparison_verdicts import Cells, agree, parting
from metaspec_conformance.compare.explaining import input_explanations, loss_explanations, precision, shapes
from metaspec_conformance.compare.explaining.case import Explanation, ExplanationCase, Proposal, Tried
from metaspec_conformance.compare.explaining.describing import describe
from metaspec_conformance.compare.stages import PARAMETERS
from metaspec_conformance.compare.team import ComparisonError

FIRST = (input_explanations.randomness, input_explanations.initialisation)
HYPOTHESES = (
    input_explanations.initialisation,
    input_explanations.data,
    precision.rounding,
    precision.narrow_format,
    input_explanations.kink,
    loss_explanations.unused_leaf,
    loss_explanations.affine,
    shapes.axes,
    shapes.normalisation,
    shapes.examples,
    precision.narrow_digits,
)
__all__ = ["HYPOTHESES", "describe", "explain"]
CAUSES = 4  # so many may come together


def explain(case: ExplanationCase) -> tuple[tuple[Explanation, ...], tuple[Tried, ...]]:
    """The causes found, and everything that was tested on the way."""
    found: list[Explanation] = []
    tried: list[Tried] = []
    for causes in range(CAUSES):
        part = None
        for proposal in _proposals(case, tried, causes):
            cells = _tested(case, proposal, tried)
            if proposal.settled or (cells is not None and all(map(agree, cells))):
                confirmed = proposal.settled is None or proposal.final
                return (*found, _explanation(proposal, tried[-1].outcome, confirmed)), tuple(tried)
            if part is None and cells is not None and not proposal.final and (later := _later(case, cells[0])):
                part = proposal, cells[0], later, len(tried) - 1
        if part is None:
            break
        proposal, cells_after, (stage, leaf), place = part
        tried[place] = replace(tried[place], helped=True)
        found.append(_explanation(proposal, tried[place].outcome, False))
        own, other = proposal.trials[0]
        case = ExplanationCase(case.context, case.side, own, other, cells_after, stage, leaf)
    return tuple(found), tuple(tried)


def _proposals(case: ExplanationCase, tried: list[Tried], causes: int) -> Iterator[Proposal]:
    early = case.stage == PARAMETERS  # what comes of other parameters says nothing of the loss
    for hypothesis in FIRST if early else HYPOTHESES if causes else (input_explanations.randomness, *HYPOTHESES):
        try:
            yield from hypothesis(case)
        except ComparisonError as error:
            tried.append(Tried(hypothesis.__name__.replace("_", " "), "", f"could not be tested: {error}", False))


def _tested(case: ExplanationCase, proposal: Proposal, tried: list[Tried]) -> list[Cells] | None:
    if proposal.settled is not None:
        outcome = "so it is" if proposal.settled else "no"
        tried.append(Tried(proposal.kind, proposal.test, outcome, proposal.settled))
        return None
    try:
        cells = [case.compared(own, other) for own, other in proposal.trials]
    except ComparisonError as error:
        tried.append(Tried(proposal.kind, proposal.test, f"could not be computed: {error}", False))
        return None
    if all(map(agree, cells)):
        fewest = min(cell.digits for one in cells for leaves in one.values() for cell in leaves.values())
        tried.append(
            Tried(proposal.kind, proposal.test, f"then everything agrees, to {fewest:.1f} digits at least", True)
        )
    else:
        stage, leaf = next(p for one in cells if (p := parting(one)))
        tried.append(Tried(proposal.kind, proposal.test, f"then they part at {stage}, {leaf}", False))
    return cells


def _later(case: ExplanationCase, cells: Cells) -> tuple[str, str] | None:
    """The new parting, where it comes at a later stage."""
    found = parting(cells)
    order = list(case.cells)
    return found if found and order.index(found[0]) > order.index(case.stage) else None


def _explanation(proposal: Proposal, outcome: str, confirmed: bool) -> Explanation:
    return Explanation(proposal.kind, proposal.sentence, proposal.test, outcome, confirmed)
