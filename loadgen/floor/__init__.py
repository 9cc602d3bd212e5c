"""How near an arm comes to a bare chain of the same hops."""
