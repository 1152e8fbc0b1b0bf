"""Things that go wrong, made to happen: for `scripts/lab/run chaos` and `tests/flows`."""
