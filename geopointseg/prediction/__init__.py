"""From a model and imagery to a map of any size: one pass, bounded memory, resumable."""
