"""Commands: what people and cron run, as `feed <command>` and as scripts."""
