"""Export of models to ONNX, with the metadata of the QGIS plugin Deepness."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geopointseg.errors import MissingDependencyError, ModelError
from geopointseg.model.bundle import ModelBundle, NetworkMember
from geopointseg.prediction.backend import PARITY, write_onnx
from geopointseg.prediction.prediction_job import WINDOW_PX
from geopointseg.process import import_onnxruntime
from geopointseg.raster.publishing import require_ending, whole_file

OVERLAP_PERCENT = 25
_DEEPNESS_RANGE = 255.0
"""Deepness divides all values by this, for any data type of the raster."""


class DeepnessNetwork(nn.Module):
    """The networks of a model for Deepness: from values divided by 255 to probabilities.

    Parameters
    ----------
    members
        Networks of one model, of which the weighted mean is returned.
    temperature
        Temperature of the model.
    """

    def __init__(self, members: Sequence[NetworkMember], temperature: float) -> None:
        super().__init__()
        self.networks = nn.ModuleList(member.network for member in members)
        total = sum(member.weight for member in members)
        self._weights = [member.weight / total for member in members]
        self._temperature = temperature
        for position, member in enumerate(members):
            norm = member.normalization
            for name, values in (("mean", norm.mean), ("std", norm.std)):
                scaled = torch.tensor(values / _DEEPNESS_RANGE, dtype=torch.float32)
                self.register_buffer(f"{name}_{position}", scaled[None, :, None, None])

    def forward(self, image: Tensor) -> Tensor:
        """Return probabilities ``(sample, class, row, col)``."""
        weighted = []
        for position, network in enumerate(self.networks):
            mean, std = (self.get_buffer(f"{name}_{position}") for name in ("mean", "std"))
            probabilities = torch.softmax(network((image - mean) / std), dim=1)
            weighted.append(self._weights[position] * probabilities)
        mean = torch.stack(weighted).sum(dim=0) if len(weighted) > 1 else weighted[0]
        if self._temperature == 1.0:
            return mean
        raised = mean ** (1.0 / self._temperature)
        return raised / raised.sum(dim=1, keepdim=True)


def export_onnx(
    model: ModelBundle | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    window_px: int | None = None,
) -> dict[str, Any]:
    """Write the networks of a model as one ONNX file, which Deepness loads without further settings.

    The input is the values of the raster divided by 255, as Deepness passes them; the file includes the normalization. A
    forest is not exported; it is listed in the summary under ``left_out``.

    Parameters
    ----------
    model
        A model or its folder.
    output
        File to write.
    window_px
        Side of the windows in pixels; by default ``[prediction] window_px``, or 512. `predict` maps models with a linear member in
        larger windows.

    Returns
    -------
    dict
        Path, size, bands, resolution, number of networks, and the largest difference of a probability from PyTorch.

    Raises
    ------
    MissingDependencyError
        If the package onnx is not installed.
    ModelError
        If the model has no network, or the probabilities of the written file differ from those of the model.
    """
    if importlib.util.find_spec("onnx") is None:
        raise MissingDependencyError(
            "The package 'onnx' is not installed. Expected it for writing ONNX files; install it with: "
            "pip install 'geopointseg[onnxruntime]'"
        )
    path = Path(output)
    require_ending(path, "ONNX")
    bundle = model if isinstance(model, ModelBundle) else ModelBundle.load(model)
    members = [member for member in bundle.members if isinstance(member, NetworkMember)]
    if not members:
        raise ModelError(
            f"The model '{bundle.folder}' is a forest without a network. ONNX export writes networks; train with "
            "`model='network'`, or predict with geopointseg."
        )
    side = _round_to(window_px or bundle.config.prediction.window_px or WINDOW_PX, bundle.stride)
    module = DeepnessNetwork(members, bundle.temperature).cpu().eval()
    with whole_file(path) as temporary:
        example = _example(bundle, side)
        write_onnx(module, example, temporary)
        _add_metadata(temporary, deepness_metadata(bundle, side))
        difference = _difference(module, temporary, example)
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "window_px": side,
        "bands": list(bundle.bands),
        "resolution_m": bundle.resolution_m,
        "networks": len(members),
        "left_out": [m.kind for m in bundle.members if not isinstance(m, NetworkMember)],
        "largest_difference": difference,
    }


def _round_to(side: int, stride: int) -> int:
    return max(round(side / stride), 1) * stride


def _example(bundle: ModelBundle, side: int) -> NDArray[np.float32]:
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(1, len(bundle.bands), side, side))
    norm = bundle.normalization
    values = noise * norm.std[:, None, None] + norm.mean[:, None, None]
    return np.asarray(values / _DEEPNESS_RANGE, dtype=np.float32)


def deepness_metadata(bundle: ModelBundle, window_px: int) -> dict[str, str]:
    """Return the metadata that Deepness reads, each value as JSON.

    Deepness numbers classes by their position. The class codes of the map are included for other programs.
    """
    names = {str(index): name for index, name in enumerate(bundle.legend.names)}
    values: dict[str, Any] = {
        "model_type": "Segmentor",
        "class_names": names,
        "resolution": round(bundle.resolution_m * 100, 4),
        "tile_size": window_px,
        "tiles_size": window_px,
        "tiles_overlap": OVERLAP_PERCENT,
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
        "standardization_mean": [0.0] * len(bundle.bands),
        "standardization_std": [1.0] * len(bundle.bands),
        "geopointseg_legend": bundle.legend.to_json(),
        "geopointseg_bands": list(bundle.bands),
    }
    return {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}


def _add_metadata(path: Path, metadata: dict[str, str]) -> None:
    import onnx

    model = onnx.load(str(path))
    for name, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, value
    onnx.save(model, str(path))


def _difference(module: nn.Module, path: Path, example: NDArray[np.float32]) -> float | None:
    """Return the largest difference between the file and the module; None where ONNX Runtime is not installed."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    session = import_onnxruntime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": example})[0]
    with torch.inference_mode():
        expected = module(torch.from_numpy(example)).numpy()
    difference = float(np.abs(found - expected).max())
    if difference > PARITY:
        raise ModelError(
            f"The written ONNX file differs from the model by {difference:.2g} in probability. Expected at most "
            f"{PARITY:g}; this network has operations that ONNX Runtime computes differently, so predict with geopointseg."
        )
    return difference
