"""Where the numbers of two backends part, and why: `compare`, or `metaspec compare` (docs/compare.md)."""

from metaspec.conformance.compare.comparison import Comparison, SideReport
from metaspec.conformance.compare.explaining.case import Explanation, Tried
from metaspec.conformance.compare.judging import Cell
from metaspec.conformance.compare.layout import Leaf
from metaspec.conformance.compare.running import compare
from metaspec.conformance.compare.team import ComparisonError

__all__ = ["Cell", "Comparison", "ComparisonError", "Explanation", "Leaf", "SideReport", "Tried", "compare"]
