"""A service's SQLite file: opened, brought forward, owned by one process, written in shared commits."""
