"""How good detections are, and what the paper and its servers say."""
