"""Scenarios: overload, an outage, a slow hop, a rolling restart."""
