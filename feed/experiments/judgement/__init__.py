"""The analysis of an experiment: trust checks, estimates and the verdict."""
