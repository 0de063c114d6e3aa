"""Say what a piece of code really computes: which algorithm, with which deviations, to which digit."""

from metaspec_conformance.audit.entry_point import assert_computes, audit
from metaspec_conformance.audit.findings.audit_report import AuditReport, Finding
from metaspec_conformance.audit.problem import Batch, Problem

__all__ = ["AuditReport", "Batch", "Finding", "Problem", "assert_computes", "audit"]
