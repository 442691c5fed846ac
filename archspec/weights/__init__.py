"""Weights files: read safely, matched to a spec by key, imported from others with proof."""
