"""What the numbers of an experiment say: trust checks, estimates and the verdict."""
