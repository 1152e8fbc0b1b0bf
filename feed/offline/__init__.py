"""Reads the log again through the same features and ranking that serve."""
