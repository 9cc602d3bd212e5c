"""The report as a document: blocks and charts, as Markdown and as a page."""
