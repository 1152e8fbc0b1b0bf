"""Breaking an installation on purpose: what `scripts/chaos.py` and `tests/flows` are made of."""
