"""The source language: TOML files in, a validated, immutable architecture out."""
