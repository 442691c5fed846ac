"""The commands about what runs leave behind."""
