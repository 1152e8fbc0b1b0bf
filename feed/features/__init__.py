"""Articles, readers and events as numbers; pure, time is an argument."""
