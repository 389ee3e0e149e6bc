"""How well a recipe transfers to other ground, where a model applies, and which points to label next."""
