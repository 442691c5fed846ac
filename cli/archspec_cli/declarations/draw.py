"""The commands about drawing a network."""
