"""The business: one room a service."""
