"""The statistics of experiments: numbers in, intervals and probabilities out."""
