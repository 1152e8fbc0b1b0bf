"""The laboratory: benchmarks, faults and simulations that prove what the product promises."""
