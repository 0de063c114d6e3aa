"""Laws of the wider family: stateful inner rules, learned inputs, leaves that stay, shrinkage."""
