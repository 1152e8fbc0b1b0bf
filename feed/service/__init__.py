"""The HTTP service: where state, ranking and the outside meet; the only room that reads clocks."""
