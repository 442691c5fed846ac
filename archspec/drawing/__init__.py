"""A network as a picture: the paper's Figures 2, 3 and 5, without torch."""
