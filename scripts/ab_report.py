#!/usr/bin/env python
"""Reports on an experiment from the archive; the same as `feed report`."""

from feed.commands.ab_report import ab_report

if __name__ == "__main__":
    ab_report()
