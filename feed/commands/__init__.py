"""The commands that people and cron run, one per module; `feed.cli` lists them."""
