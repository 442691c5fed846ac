"""What a run leaves behind, read without torch: metrics, cards, curves."""
