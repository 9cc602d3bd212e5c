"""REST on threads: Flask on waitress serves, requests calls, and every worker waits."""
