"""What each protocol says, whoever waits."""
