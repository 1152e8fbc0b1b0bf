"""The HTTP service, where state and ranking meet; only it and the commands read the clock."""
