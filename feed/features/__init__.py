"""Articles, readers and events as numbers; no clock, no store: time is an argument."""
