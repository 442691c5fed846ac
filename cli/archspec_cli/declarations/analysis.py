"""The commands about analysis."""
