"""Labels: points on the ground, the sparse masks they become, and what can be wrong with them."""
