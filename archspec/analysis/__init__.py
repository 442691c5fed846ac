"""What networks show when one looks inside: the responses of their layers, and how signals pass through them."""
