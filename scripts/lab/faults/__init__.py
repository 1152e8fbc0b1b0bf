"""Injected faults, for `scripts/lab/run chaos` and `tests/flows`."""
