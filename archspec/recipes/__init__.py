"""Recipes: how a network is trained and tested, declared in TOML like the networks themselves."""
