"""Passes over the graph: counting, flattening, hashing, comparing. None of them needs torch."""
