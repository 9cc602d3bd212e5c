"""A study as data: its plan, its runs, and how both are kept."""
