#!/usr/bin/env python3
"""Sends articles and events to a running service: `feed ingest`, from a fresh clone."""

from environment import run_feed

if __name__ == "__main__":
    run_feed("ingest")
