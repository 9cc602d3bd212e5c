"""The attack: orders besieged by all that a caller can do, while services are struck."""
