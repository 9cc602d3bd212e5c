"""Faults on purpose: where a test may have a service fail, and what is noted of it."""
