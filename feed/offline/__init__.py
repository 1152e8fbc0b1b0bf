"""The log, read again through the same features and ranking that serve."""
