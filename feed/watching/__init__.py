"""The watch: looks at running experiments, tells people what it finds, and stops harm."""
