"""What is asked: the plan, its schedule, who buys what, and how an order may end."""
