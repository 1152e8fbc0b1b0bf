"""Worlds with a known truth, and the tests of this room let loose on them many times."""
