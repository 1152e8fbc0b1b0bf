"""The newsroom's desk at `/desk`: pages made on the server, which work without scripts."""
