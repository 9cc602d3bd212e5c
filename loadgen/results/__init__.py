"""What was recorded and what it means: histograms, figures, objectives, tables."""
