"""Training: losses, the training loop, distillation to unlabelled pixels, pretraining and selection of members."""
