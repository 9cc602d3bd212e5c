"""Processes from outside: checked, started, watched, restarted and stopped."""
