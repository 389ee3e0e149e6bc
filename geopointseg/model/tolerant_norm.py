"""Batch normalization that can be trained with single values."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class TolerantBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization that accepts a single value per channel in training, and then uses its running statistics.

    Global pooling reduces a batch of one image to one value per channel. This has no variance, and torch raises an error.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalize ``(sample, channel, row, col)``."""
        if self.training and input.numel() == input.shape[1]:
            return functional.batch_norm(
                input,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=False,
                eps=self.eps,
            )
        return super().forward(input)
