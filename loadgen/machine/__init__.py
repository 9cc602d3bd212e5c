"""The machine under a run: its disk, its processors, its description."""
