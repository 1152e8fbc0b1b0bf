"""Articles and events from outside formats."""
