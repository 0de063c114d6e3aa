"""How each framework differentiates functions where they have no derivative, seen through its adapter."""
