"""Simulated worlds with a known truth, on which the statistics are tested."""
