"""The conformance suite of metaspec, a test for each check and format."""

from metaspec_conformance.pytest_plugin import BackendConformance


class TestAutograd(BackendConformance):
    """Everything agrees: there are no expected failures."""

    backend = "autograd"
