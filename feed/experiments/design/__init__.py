"""What an experiment is, how it lives, and who is in which variant."""
