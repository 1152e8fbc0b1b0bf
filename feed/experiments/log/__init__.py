"""The log of an experiment: who was exposed, and what each reader did."""
