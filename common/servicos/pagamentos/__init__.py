"""The second service of the chain, and the payment gateway that it asks."""
