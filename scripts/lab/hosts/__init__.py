"""A site of several hosts in network namespaces, and what is done to it."""
