"""From a reader, the articles and what all readers do now to a slate. Pure: no clock, no store."""
