"""Where the numbers of two backends part, and why: `compare`, or `metaspec compare` (docs/compare.md)."""

from metaspec_conformance.compare.comparison import Comparison, SideReport
from metaspec_conformance.compare.comparison_verdicts import LeafComparison
from metaspec_conformance.compare.explaining.case import Explanation, Tried
from metaspec_conformance.compare.layout import Leaf
from metaspec_conformance.compare.sides import compare
from metaspec_conformance.compare.team import ComparisonError

__all__ = ["Comparison", "ComparisonError", "Explanation", "Leaf", "LeafComparison", "SideReport", "Tried", "compare"]
