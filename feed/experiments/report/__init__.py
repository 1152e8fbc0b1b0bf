"""An experiment's report as HTML, Markdown and JSON."""
