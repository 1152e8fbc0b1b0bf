"""Experiments: who sees which variant, what it did to them, and how sure we are."""
