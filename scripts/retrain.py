#!/usr/bin/env python
"""Learns from the archive and publishes a model; the same as `feed retrain`, fit for cron."""

from feed.commands.retrain import retrain

if __name__ == "__main__":
    retrain()
