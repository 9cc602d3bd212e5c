"""The fault matrix: every service, point and fault, one order each."""
