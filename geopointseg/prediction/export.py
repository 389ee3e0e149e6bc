"""Models for other programs: ONNX with the metadata that the QGIS plugin Deepness reads."""

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
from geopointseg.raster.publishing import whole_file

OVERLAP_PERCENT = 25
_DEEPNESS_RANGE = 255.0
"""Deepness divides all values by this, whatever the raster's data type."""


class DeepnessNetwork(nn.Module):
    """The networks of a model as Deepness calls them: values divided by 255 in, probabilities out.

    Parameters
    ----------
    members
        Networks of one model; their weighted mean is returned.
    temperature
        The model's temperature.
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
        votes = []
        for position, network in enumerate(self.networks):
            mean, std = (self.get_buffer(f"{name}_{position}") for name in ("mean", "std"))
            probabilities = torch.softmax(network((image - mean) / std), dim=1)
            votes.append(self._weights[position] * probabilities)
        mean = torch.stack(votes).sum(dim=0) if len(votes) > 1 else votes[0]
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
    """Write a model's networks as one ONNX file that Deepness loads without further settings.

    The file takes the raster's values divided by 255, as Deepness gives them, and normalizes them inside. A forest
    cannot be written as ONNX here; where a model has one beside its networks, it is left out and the summary says
    so.

    Parameters
    ----------
    model
        A model or its folder.
    output
        File to write.
    window_px
        Side of the windows; the prediction's default by default.

    Returns
    -------
    dict
        Path, size, bands, resolution, which members went in, and the largest difference from PyTorch.

    Raises
    ------
    MissingDependencyError
        If the package onnx is not installed.
    ModelError
        If the model has no network, or the written file does not say what the model says.
    """
    if importlib.util.find_spec("onnx") is None:
        raise MissingDependencyError(
            "The package 'onnx' is not installed. Expected it for writing ONNX files; install it with: "
            "pip install 'geopointseg[onnxruntime]'"
        )
    bundle = model if isinstance(model, ModelBundle) else ModelBundle.load(model)
    members = [member for member in bundle.members if isinstance(member, NetworkMember)]
    if not members:
        raise ModelError(
            f"The model '{bundle.folder}' is a forest without a network. ONNX export writes networks; train with "
            "--model network, or predict with geopointseg."
        )
    side = _round_to(window_px or bundle.config.prediction.window_px, bundle.stride)
    module = DeepnessNetwork(members, bundle.temperature).cpu().eval()
    path = Path(output)
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

    Class numbers in Deepness are positions; the codes of the map are kept beside them for other readers.
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
    """Return how far the file's answer is from the module's; None where ONNX Runtime is not installed."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime as ort

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": example})[0]
    with torch.inference_mode():
        expected = module(torch.from_numpy(example)).numpy()
    difference = float(np.abs(found - expected).max())
    if difference > PARITY:
        raise ModelError(
            f"The written ONNX file differs from the model by {difference:.2g} in probability. Expected at most "
            f"{PARITY:g}; this network uses operations that ONNX Runtime computes otherwise, so predict with geopointseg."
        )
    return difference
