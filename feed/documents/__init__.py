"""Documents of sections, tables and figures, and their output: HTML, Markdown and terminal."""
