"""What a plan means before it runs: its cells, how long they take, whether they can be done."""
