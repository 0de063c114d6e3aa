"""The conformance suite of metaspec, a test for each check and format."""

from metaspec.conformance.kit import BackendConformance


class TestAutograd(BackendConformance):
    """Everything agrees: there are no expected failures."""

    backend = "autograd"
