"""Laws of the wider family: stateful inner rules, learned inputs, leaves that stay, shrinkage."""

from metaspec_conformance.laws.family import inner_rule_laws, moving_leaf_laws, objective_laws, shrinkage_laws  # noqa: F401
