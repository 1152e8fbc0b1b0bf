"""Benchmarks: how fast and how good, each against a baseline in the same run."""
