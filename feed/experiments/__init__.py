"""Experiments: assignment to variants, their effects, and the uncertainty of those effects."""
