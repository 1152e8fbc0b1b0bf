"""What is learnt: factors, rankers, and the bundle that holds one version of all of it."""
