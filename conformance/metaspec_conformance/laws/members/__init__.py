"""Laws of the members of the `Backend` protocol, in the order in which an adapter is best written."""

# isort: off
from metaspec_conformance.laws.members import required_members  # noqa: F401  # the order in which to write them
from metaspec_conformance.laws.members import namespace_members  # noqa: F401
from metaspec_conformance.laws.members import derivative_members  # noqa: F401
from metaspec_conformance.laws.members import array_api_laws  # noqa: F401
from metaspec_conformance.laws.members import optional_members  # noqa: F401
# isort: on
