"""Laws of the members of the `Backend` protocol, in the order in which an adapter is best written."""

from importlib import import_module

for _file in ("required_members", "namespace_members", "derivative_members", "array_api_laws", "optional_members"):
    import_module(f"{__name__}.{_file}")
