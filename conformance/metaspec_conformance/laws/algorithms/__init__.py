"""Laws of MAML, FO-MAML, Reptile and iMAML: closed forms, limits, expansions, invariances and linear solves."""
