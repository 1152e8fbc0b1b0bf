"""What the newsroom has decided about its feeds: boosts, limits, and settings of the ranking."""
