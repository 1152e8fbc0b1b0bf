"""One plugin of each kind: a candidate source, a feature, a rule, a ranker and a method."""
