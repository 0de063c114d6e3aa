"""Scenarios made by choices among few options, by Hypothesis or at random."""
