"""Contenders that take turns, and the skeleton of the commands that compare them."""
