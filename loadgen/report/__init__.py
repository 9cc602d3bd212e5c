"""Turns a study's results into the report: one Markdown file with figures, one page by itself."""
