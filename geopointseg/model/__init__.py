"""Networks by name, the forest, starting weights, and the model folder that holds them."""
