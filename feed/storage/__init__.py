"""The only room that knows Redis, Parquet and the disk."""
