"""Scenarios made by choices among few options: drawn at random, by Hypothesis, or replayed."""
