"""The worker: counts and archives what the event streams bring."""
