"""The model folder, which contains everything that a prediction needs, and no code.

A `ModelBundle` has one or more *members* (networks, a forest) with the same legend and bands. Their probabilities are
averaged by weight. On disk it consists of ``model.safetensors`` (all tensors), ``model.json`` (everything else) and
``README.md`` (the model card). Nothing is pickled, so a model from an unknown source cannot run code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geopointseg.config import Config
from geopointseg.errors import ConfigError, InputFileError, LegendError, ModelError
from geopointseg.legend import Legend
from geopointseg.markup import read_json
from geopointseg.model.card import render_card
from geopointseg.model.inference import Ensemble, apply_temperature, predict_patch
from geopointseg.model.member import ForestMember, Member, NetworkMember, Normalization, read_member
from geopointseg.model.tensor_file import read_safetensors
from geopointseg.model_document import read_model_document
from geopointseg.raster.folder_publishing import whole_folder
from geopointseg.summary import described, join_names

FORMAT = "geopointseg model"
FORMAT_VERSION = 1
WEIGHTS_FILE = "model.safetensors"
DESCRIPTION_FILE = "model.json"
CARD_FILE = "README.md"
WEIGHT_TOLERANCE = 0.01
"""Largest difference from 1 of the sum of the weights of the members."""
_DAMAGED = (
    ArithmeticError, AssertionError, AttributeError, ConfigError, LegendError, LookupError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What reading a damaged description or weights that do not fit it may raise."""

__all__ = [
    "ForestMember",
    "Member",
    "ModelBundle",
    "NetworkMember",
    "Normalization",
    "apply_temperature",
    "is_model_folder",
    "resolve_device",
]


@described
@dataclass(frozen=True)
class ModelBundle:
    """A trained model: its members, classes, bands and metadata.

    Parameters
    ----------
    folder
        The folder on disk; all parts are in memory.
    legend
        Classes in index order.
    bands
        Names of the bands of the training, in their order.
    normalization
        Mean and standard deviation per band.
    resolution_m
        Side of a pixel of the training scenes, in metres.
    chip_size
        Side of the smaller training chips in pixels.
    receptive_field_px
        Side of the square of context that inference gives a pixel, in pixels.
    config
        The settings of the training.
    members
        Networks, linear models and forests; their weights sum to one.
    temperature
        Probabilities are raised to the power of ``1 / temperature`` and normalized to a sum of one.
    metadata
        Seeds, data fingerprints, library versions, scores, the reason for the weights of the members ...
    """

    folder: Path
    legend: Legend
    bands: tuple[str, ...]
    normalization: Normalization
    resolution_m: float
    chip_size: int
    receptive_field_px: int
    config: Config
    members: tuple[Member, ...]
    temperature: float = 1.0
    metadata: dict[str, Any] = field(default_factory=dict)

    def _summary(self) -> list[str]:
        members = join_names(f"{m.kind} (weight {m.weight:.2f})" for m in self.members)
        scores = self.metadata.get("scores")
        rows = scores if isinstance(scores, Mapping) else {}
        held_out = [
            f"{name} {row['mean_f1']:.3f}"
            for name, row in rows.items()
            if isinstance(row, Mapping) and isinstance(row.get("mean_f1"), float)
        ]
        return [
            f"ModelBundle '{self.folder.name}': {members}",
            f"{len(self.legend)} classes: {join_names(self.legend.names)}",
            f"{len(self.bands)} bands of {self.resolution_m:.3g} m: {join_names(self.bands)}",
            *([f"mean F1 on held-out points: {join_names(held_out)}"] if held_out else []),
        ]

    def _table(self) -> list[tuple[str, list[str], list[list[object]]]]:
        points = self.metadata.get("points")
        counts = points.get("per_class", {}) if isinstance(points, Mapping) else {}
        classes: list[list[object]] = [
            [e.code, e.name, e.color, counts.get(e.name, "unknown")] for e in self.legend.entries
        ]
        members: list[list[object]] = [[m.kind, m.weight, m.margin_px] for m in self.members]
        return [
            ("Members", ["kind", "weight", "context in pixels"], members),
            ("Classes", ["code", "class", "colour", "labelled pixels"], classes),
        ]

    def __post_init__(self) -> None:
        if not self.members:
            raise ModelError(
                "The model has no members. Expected at least one network or forest; train it again."
            )

    @property
    def stride(self) -> int:
        """Windows whose sides are multiples of this are not padded by any member."""
        return int(np.lcm.reduce([member.stride for member in self.members]))

    def probabilities(
        self, image: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return class probabilities of windows.

        Parameters
        ----------
        image
            float32 ``(sample, band, row, col)``, values as in the scene.
        valid
            bool ``(sample, row, col)``.

        Returns
        -------
        ndarray
            float32 ``(sample, class, row, col)``; each pixel sums to one. Values where invalid carry no information.
        """
        ensemble = Ensemble.of(*self.members, temperature=self.temperature)
        return predict_patch(ensemble, image, valid)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the description, which contains the SHA-256 of the weights.

        Raises
        ------
        ModelError
            If the model was not saved.
        """
        try:
            return hashlib.sha256((self.folder / DESCRIPTION_FILE).read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(
                f"The model has no folder to fingerprint ('{self.folder}': {error}). Expected a saved model; "
                "save it first."
            ) from error

    def save(self, folder: str | os.PathLike[str]) -> ModelBundle:
        """Write the model folder completely or not at all; return the bundle with its new folder.

        Raises
        ------
        OutputError
            If the folder exists and is no model folder, or cannot be written.
        """
        folder = Path(folder)
        with whole_folder(folder, is_model_folder) as partial:
            self.write(partial)
        return replace(self, folder=folder)

    def write(self, folder: Path) -> None:
        """Write the files of the model into a folder, which is created if necessary."""
        from safetensors.torch import save  # save_file makes files that other users cannot read

        folder.mkdir(parents=True, exist_ok=True)
        (folder / WEIGHTS_FILE).write_bytes(save(self._tensors(), metadata={"format": "pt"}))
        description = self.to_json() | {"weights_sha256": _sha256(folder / WEIGHTS_FILE)}
        # file names that are not UTF-8 become JSON escapes
        text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
        (folder / DESCRIPTION_FILE).write_text(text, encoding="utf-8", errors="backslashreplace")
        card = render_card(description)
        (folder / CARD_FILE).write_text(card, encoding="utf-8", errors="backslashreplace")

    def to_json(self) -> dict[str, Any]:
        """Return everything but the tensors, as in ``model.json``."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "legend": self.legend.to_json(),
            "bands": list(self.bands),
            "normalization": self.normalization.to_json(),
            "resolution_m": self.resolution_m,
            "chip_size": self.chip_size,
            "receptive_field_px": self.receptive_field_px,
            "temperature": self.temperature,
            "members": [member.to_json() for member in self.members],
            "config": self.config.to_dict(),
            **self.metadata,
        }

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors: dict[str, torch.Tensor] = {}
        for position, member in enumerate(self.members):
            prefix = _prefix(self.members, position)
            tensors |= {f"{prefix}.{name}": value for name, value in member.tensors().items()}
        return tensors

    @classmethod
    def load(cls, folder: str | os.PathLike[str], device: str = "cpu") -> ModelBundle:
        """Read a model folder.

        Parameters
        ----------
        folder
            As written by `train` or `save`.
        device
            Device of the networks: ``cpu``, ``cuda`` or ``auto``.

        Returns
        -------
        ModelBundle
            All parts in memory.

        Raises
        ------
        InputFileError
            If the folder does not exist.
        ModelError
            If it is no model folder, was written by a newer version, or is damaged.
        """
        folder = Path(folder)
        description = _read_description(folder)
        tensors = _read_tensors(folder, description)
        target = resolve_device(device)
        try:
            return _assemble(folder, description, tensors, target)
        except _DAMAGED as error:
            if isinstance(error, ModelError):
                raise
            why: object = f"it lacks {error}" if isinstance(error, KeyError) else error
            if isinstance(error, (AttributeError, TypeError)):  # the words of Python help nobody
                why = f"a value in {DESCRIPTION_FILE} has another type than expected"
            raise ModelError(
                f"The model folder '{folder}' is damaged ({why}). Expected "
                f"{DESCRIPTION_FILE} and {WEIGHTS_FILE} as training wrote them; copy the folder again or retrain."
            ) from error


def resolve_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` is a GPU if there is one.

    Raises
    ------
    ConfigError
        If there is no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"There is no device '{name}'. Expected auto, cpu or cuda.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "The device 'cuda' was requested, but torch finds no GPU here. Expected a CUDA build of torch and a "
            "driver; use `device='cpu'` or `device='auto'`."
        )
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a CPU or GPU has instructions for bfloat16; without them bfloat16 is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


def is_model_folder(folder: Path) -> bool:
    """Return whether a folder contains a model."""
    return has_format(folder / DESCRIPTION_FILE, FORMAT)


def has_format(path: Path, name: str) -> bool:
    """Return whether a file is JSON and names this format."""
    try:
        return bool(read_json(path).get("format") == name)
    except (OSError, ValueError, AttributeError):
        return False


def _read_description(folder: Path) -> dict[str, Any]:
    if not folder.exists():
        raise InputFileError(f"The model folder '{folder}' does not exist. Check the path.")
    if folder.is_file() and is_model_folder(folder.parent):
        raise ModelError(
            f"'{folder}' is a file of a model. Expected the folder; give '{folder.parent}'."
        )
    if not is_model_folder(folder):
        raise ModelError(
            f"'{folder}' is not a model folder: it has no {DESCRIPTION_FILE} of geopointseg. "
            "Expected a folder written by `train`; give that one."
        )
    try:
        description = read_model_document(folder / DESCRIPTION_FILE)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The model folder '{folder}' is damaged ({error}). Expected {DESCRIPTION_FILE} as training wrote it; copy the "
            "folder again or retrain."
        ) from error
    version = description.get("format_version")
    if version is None:
        raise ModelError(
            f"The model folder '{folder}' is damaged: {DESCRIPTION_FILE} has no format_version. Expected the file as training wrote "
            "it; copy the folder again or retrain."
        )
    if version > FORMAT_VERSION:
        raise ModelError(
            f"The model '{folder}' has format version {version}. This geopointseg reads versions up to "
            f"{FORMAT_VERSION}; update geopointseg."
        )
    return description


def _read_tensors(folder: Path, description: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise ModelError(
            f"The model '{folder}' lacks {WEIGHTS_FILE}. Expected it beside {DESCRIPTION_FILE}; "
            "copy the whole folder again."
        )
    if _sha256(path) != description.get("weights_sha256"):
        raise ModelError(
            f"The weights of the model '{folder}' are damaged: the checksum of {WEIGHTS_FILE} is not the one in "
            f"{DESCRIPTION_FILE}. Copy the whole folder again, or train the model again."
        )
    try:
        return read_safetensors(path)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"'{path}' is not a safetensors file ({error}). Expected the weights of a model; "
            "copy the whole folder again, or train the model again."
        ) from error


def _assemble(
    folder: Path,
    description: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor],
    device: torch.device,
) -> ModelBundle:
    legend = Legend.from_json(description["legend"])
    bands = tuple(str(b) for b in description["bands"])
    normalization = Normalization.from_json(description["normalization"])
    if len(normalization.mean) != len(bands) or len(legend) < 2:
        raise ModelError(
            f"The model has {len(bands)} bands, the means of {len(normalization.mean)}, and {len(legend)} classes. Expected one "
            "mean per band, and two classes at least; copy the model folder again."
        )
    members: list[Member] = []
    for position, row in enumerate(description["members"]):
        prefix = _prefix([r["kind"] for r in description["members"]], position) + "."
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        members.append(read_member(row, own, len(bands), len(legend), normalization, device))
    total = sum(member.weight for member in members)
    if len(members) > 1 and abs(total - 1) > WEIGHT_TOLERANCE:
        raise ModelError(
            f"The weights of the {len(members)} members of the model sum to {total:.3g}. Expected 1; the model folder is damaged, "
            "copy it again or train the model again."
        )
    known = set(ModelBundle.__dataclass_fields__) | {"format", "format_version", "weights_sha256"}
    return ModelBundle(
        folder=folder,
        legend=legend,
        bands=bands,
        normalization=normalization,
        resolution_m=float(description["resolution_m"]),
        chip_size=int(description["chip_size"]),
        receptive_field_px=int(description["receptive_field_px"]),
        config=known_settings(description["config"]),
        members=tuple(members),
        temperature=float(description["temperature"]),
        metadata={k: v for k, v in description.items() if k not in known},
    )


def known_settings(stored: Mapping[str, Mapping[str, Any]]) -> Config:
    """Read stored settings, without those that this version does not have."""
    defaults = Config().to_dict()
    kept = {
        section: {name: value for name, value in values.items() if name in defaults[section]}
        for section, values in stored.items()
        if section in defaults
    }
    return Config().updated(kept)


def _prefix(members: Sequence[Member] | Sequence[str], position: int) -> str:
    kinds = [m if isinstance(m, str) else m.kind for m in members]
    kind = kinds[position]
    return kind if kind == "forest" else f"{kind}.{kinds[:position].count(kind)}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
