"""The edge of the chain: takes an order, drives it to its end, and finds what was left open."""
