#!/usr/bin/env python
"""Sends articles and events to a running service; the same as `feed ingest`."""

from feed.commands.ingest import ingest

if __name__ == "__main__":
    ingest()
