"""Say what a piece of code really computes: which algorithm, with which deviations, to which digit."""

from metaspec_conformance.audit.audit_report import Finding, Report
from metaspec_conformance.audit.auditing import assert_computes, audit
from metaspec_conformance.audit.problem import Batch, Problem

__all__ = ["Batch", "Finding", "Problem", "Report", "assert_computes", "audit"]
