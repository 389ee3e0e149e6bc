"""Assessment of maps: accuracy with intervals, class areas, sample design, reliability of probabilities.

Nothing here imports torch, so a map can be assessed without a model and without its libraries.
"""
