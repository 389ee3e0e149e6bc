"""How scenes are made alike: distributions, histogram matching, invariant pixels."""
