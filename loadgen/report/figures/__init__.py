"""Figures of the report: runs collected, estimated, compared, drawn."""
