"""Customers who do not give up, one or many."""
