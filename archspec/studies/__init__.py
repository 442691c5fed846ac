"""Experiments as data: many runs, one picture or table at the end."""
