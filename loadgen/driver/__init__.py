"""Who sends it: generator processes, closed and open loops, one checkout."""
