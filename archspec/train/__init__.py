"""Training: the loop, what it stores, and what is made of it. Nothing that was stored is lost."""
