"""The HTTP service, which joins state, ranking and HTTP; only it and commands read clocks."""
