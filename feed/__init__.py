"""A personalised news feed recommender with trending boosts and honest evaluation."""
