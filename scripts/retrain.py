#!/usr/bin/env python3
"""Learns and publishes a model: `feed retrain`, from a fresh clone."""

from environment import run_feed

if __name__ == "__main__":
    run_feed("retrain")
