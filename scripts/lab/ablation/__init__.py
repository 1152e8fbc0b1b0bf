"""What each part of the collaborative model is worth, measured by taking it away."""
