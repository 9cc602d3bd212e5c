"""Breaking the checkout on purpose, and judging what it did: the fault matrix and the soak."""
