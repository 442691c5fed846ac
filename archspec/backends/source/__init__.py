"""The source backend: graphs as Python that a good engineer would have written. It needs no torch."""
