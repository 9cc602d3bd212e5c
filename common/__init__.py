"""Everything that is true in every arm."""
