"""The contribution of each part of the collaborative model, measured by removing it."""
