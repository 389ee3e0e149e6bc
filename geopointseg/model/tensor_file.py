"""Files of tensors from unknown sources: checked before memory is allocated, and read without pickled code."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geopointseg.markup import require_regular_file

_LARGEST_HEADER = 2**24
"""Largest header of a safetensors file in bytes: about 10^5 tensors."""


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, or its header claims more than the file has.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    require_regular_file(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > min(_LARGEST_HEADER, path.stat().st_size - 8):
        raise ValueError(f"the header claims {length} bytes")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def read_pickled_tensors(path: Path) -> Any:
    """Return the content of a file of ``torch.save``; only tensors and plain values are unpickled.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is compressed, or a tensor claims more values than the file has. torch writes no compressed files, and a compressed
        one could expand to any size.
    Exception
        Whatever torch raises for a damaged file.
    """
    require_regular_file(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            packed = [
                m.filename for m in archive.infolist() if m.compress_type != zipfile.ZIP_STORED
            ]
        if packed:
            raise ValueError(f"it holds compressed records such as '{packed[0]}'")
    content = torch.load(path, map_location="cpu", weights_only=True)
    for tensor in _tensors(content):
        _require_plain(tensor)
    return content


def _require_plain(tensor: Tensor) -> None:
    """Raise `ValueError` if a tensor is sparse or quantized, or repeats its values by strides."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise ValueError("it holds a sparse or quantized tensor, or one without values")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(f"a tensor claims the shape {tuple(tensor.shape)} and has fewer values")


def _tensors(content: Any) -> Iterator[Tensor]:
    stack = [content]
    while stack:
        value = stack.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Mapping):
            stack += value.values()
        elif isinstance(value, (list, tuple)):
            stack += value
