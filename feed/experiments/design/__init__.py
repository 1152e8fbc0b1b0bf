"""The definition of an experiment, its lifecycle, and the assignment of readers."""
