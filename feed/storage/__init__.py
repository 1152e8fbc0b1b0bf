"""The only package that knows Redis, Parquet and the disk."""
