"""Holding networks against published numbers: three independent witnesses, one verdict a row."""
