"""What trained networks show: layer responses, gradients."""
