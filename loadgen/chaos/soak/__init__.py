"""The soak: strikes on a schedule under customers who never give up."""
