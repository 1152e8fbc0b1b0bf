"""Worlds with a known truth, on which the statistics are tried."""
