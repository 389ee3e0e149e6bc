"""A limit on what the construction of a network may allocate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from geopointseg.errors import ModelError

_CREATORS = (
    torch.empty, torch.zeros, torch.ones, torch.full, torch.eye, torch.rand, torch.randn, torch.arange, torch.linspace,
    torch.empty_strided,
)  # fmt: skip
_SPARE_BYTES = 2**30
"""Encoders such as VGG make layers of half a gigabyte that segmentation-models-pytorch then drops."""


class AllocationBudget(TorchFunctionMode):
    """Refuses to allocate more than a multiple of the tensors that a model folder has.

    All weights of a network are in its file. A description that asks for more than the file has is damaged, or made to
    exhaust the memory. Each allocation is computed without memory first, on torch's ``meta`` device.

    Parameters
    ----------
    tensors
        The tensors of the file.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.left = 4 * sum(t.numel() * t.element_size() for t in tensors.values()) + _SPARE_BYTES

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch; those that make tensors only within the budget."""
        del types
        options = dict(kwargs or {})
        if func in _CREATORS and options.get("out") is None:
            planned = func(*args, **options | {"device": "meta"})
            self.left -= planned.numel() * planned.element_size()
            if self.left < 0:
                raise ModelError(
                    "The description of the model asks for much larger networks than its weights are. Expected the tensors that "
                    "belong to model.json; copy the whole folder again."
                )
        return func(*args, **options)
