"""The worker, which counts and archives the records of the event streams."""
