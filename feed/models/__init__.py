"""What is learned: factors, rankers, and the bundle that holds one version of all of it."""
