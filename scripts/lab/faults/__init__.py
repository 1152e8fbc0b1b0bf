"""Breaking an installation on purpose: what `scripts/lab/run chaos` and `tests/flows` are made of."""
