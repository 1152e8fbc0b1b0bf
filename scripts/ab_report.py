#!/usr/bin/env python3
"""Reports one experiment: `feed report`, from a fresh clone."""

from environment import run_feed

if __name__ == "__main__":
    run_feed("report")
