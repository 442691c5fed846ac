"""Networks written by hand in plain PyTorch, to hold what archspec compiles against.

Nothing here may import archspec: the two have to agree without having anything in common.
"""
