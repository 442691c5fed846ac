"""From the spec to the graph. Every difference between nets is decided here, once, for all block types."""
