"""The kit that certifies anybody's adapter under pytest: `BackendConformance`, and the plugin's options.

Importing this package imports nothing: pytest loads the plugin in every run where metaspec is installed.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metaspec_conformance.pytest_plugin.conformance_suite import BackendConformance

__all__ = ["BackendConformance"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from metaspec_conformance.pytest_plugin.conformance_suite import BackendConformance

    return BackendConformance
