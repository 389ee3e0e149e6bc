"""How a model is learnt: losses, the training loop, unlabelled pixels, pretraining, selection."""
