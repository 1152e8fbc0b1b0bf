"""The built-in newsroom: generated sample articles of an invented region, for demos and tests."""
