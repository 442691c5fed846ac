"""Tables from the graph's operations to what other systems call them, and the readers of those tables."""
