"""A service process: put together, run on an event loop, and ended in order."""
