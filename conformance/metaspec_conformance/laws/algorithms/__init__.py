"""Laws of MAML, FO-MAML, Reptile and iMAML: closed forms, limits, expansions, invariances and linear solves."""

from metaspec_conformance.laws.algorithms import (
    chain_laws,  # noqa: F401
    closed_form_laws,  # noqa: F401
    expansion_laws,  # noqa: F401
    implicit_laws,  # noqa: F401
    limit_laws,  # noqa: F401
    moreau_laws,  # noqa: F401
    one_example_laws,  # noqa: F401
    scaling_laws,  # noqa: F401
    solver_laws,  # noqa: F401
)
