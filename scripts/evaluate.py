#!/usr/bin/env python3
"""Replays a log and measures the ranking on it: `feed evaluate`, from a fresh clone."""

from environment import run_feed

if __name__ == "__main__":
    run_feed("evaluate")
