"""How a process that trains ends, where it is neither done nor wrong: for whoever started it."""

STOPPED = 75
"""A signal asked for it; the run is stored and goes on with the same command."""
DIVERGED = 3
"""The loss is no number any more."""
