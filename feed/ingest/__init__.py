"""Reads articles and events from other formats."""
