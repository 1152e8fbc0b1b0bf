#!/usr/bin/env python
"""Replays a log and measures the ranking on it; the same as `feed evaluate`."""

from feed.commands.evaluate import evaluate_command

if __name__ == "__main__":
    evaluate_command()
