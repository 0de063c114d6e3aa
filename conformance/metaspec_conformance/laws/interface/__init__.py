"""Laws of the public functions: choice of the backend, formats, parameter trees, purity and errors."""

from metaspec_conformance.laws.interface import (
    array_semantics_laws,  # noqa: F401
    backend_choice_laws,  # noqa: F401
    dtype_laws,  # noqa: F401
    loss_check_laws,  # noqa: F401
    purity_laws,  # noqa: F401
    tree_laws,  # noqa: F401
    wrong_input_laws,  # noqa: F401
)
