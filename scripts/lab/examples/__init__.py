"""Examples of what a data scientist can add from a package of their own."""
