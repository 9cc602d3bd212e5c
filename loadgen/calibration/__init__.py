"""The generator measured itself: what it costs, and whether it keeps its schedule."""
