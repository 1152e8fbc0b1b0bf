"""Documents of sections, tables and figures, and their views: HTML, Markdown and terminal."""
