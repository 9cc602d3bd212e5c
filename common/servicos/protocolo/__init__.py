"""What the rooms share: the protocol of a step, its ports, and what travels with a call."""
