"""What repeated runs say."""
