"""Say what a piece of code really computes: which algorithm, with which deviations, to which digit."""

from metaspec.conformance.audit.auditing import assert_computes, audit
from metaspec.conformance.audit.problem import Batch, Problem
from metaspec.conformance.audit.report import Finding, Report

__all__ = ["Batch", "Finding", "Problem", "Report", "assert_computes", "audit"]
