"""The commands and their help. Bodies live in `commands/` and are imported when a command runs."""
