"""
The partial focal cross-entropy
===============================

Only labelled pixels count. The focal factor with exponent gamma lowers the loss of pixels that are predicted well already (Lin et al.
2017). With gamma = 0 the loss is the cross-entropy.
"""

import matplotlib.pyplot as plt
import torch

from geopointseg.learning.loss import partial_focal_loss

probability = torch.linspace(0.01, 0.99, 99)
logits = torch.stack([probability.log(), (1 - probability).log()], dim=1)
target = torch.zeros(99, dtype=torch.int64)

# %%
# Unlabelled pixels have the target -1. They change neither the sum nor its denominator.
half = target.clone()
half[50:] = -1
print(partial_focal_loss(logits[:50], target[:50]).item(), partial_focal_loss(logits, half).item())

# %%
fig, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for gamma in (0.0, 0.5, 1.0, 2.0):
    values = [
        partial_focal_loss(logits[k : k + 1], target[k : k + 1], gamma=gamma).item()
        for k in range(99)
    ]
    axis.plot(probability, values, label=f"gamma {gamma:g}")
axis.set(xlabel="probability of the labelled class", ylabel="loss", ylim=(0, 4))
axis.legend(frameon=False)
