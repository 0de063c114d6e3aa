"""References for meta-gradients, independent of metaspec.algorithms and of one another."""
