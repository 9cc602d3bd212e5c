"""Where an order's time went, hop by hop."""
