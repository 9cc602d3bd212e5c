"""A study while it runs: each run in fresh processes, and what is seen meanwhile."""
