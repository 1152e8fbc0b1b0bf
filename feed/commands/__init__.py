"""What people and cron run, one click command or group a module; `feed.cli` lists them."""
