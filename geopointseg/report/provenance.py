"""Provenance of a map: facts of its model folder, read without loading the model."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geopointseg.assessment.calibration import Reliability
from geopointseg.errors import InputFileError
from geopointseg.model_document import read_model_document

_CURVES = {
    "loss": "training loss",
    "held_out_mean_f1": "mean F1 on held-out points",
    "held_out_loss": "loss on held-out points",
}


@dataclass(frozen=True)
class ModelProvenance:
    """The parts of a model folder that a report shows.

    Parameters
    ----------
    folder
        The model folder.
    description
        Content of ``model.json``.
    curves
        By name of the quantity, steps and values of the training.
    """

    folder: Path
    description: Mapping[str, Any]
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]

    @classmethod
    def read(cls, folder: str | Path) -> ModelProvenance:
        """Read a model folder's JSON and training curves; no tensors, no torch.

        Raises
        ------
        InputFileError
            If the folder holds no readable ``model.json``.
        """
        folder = Path(folder)
        try:
            description = read_model_document(folder / "model.json")
        except (OSError, ValueError) as error:
            raise InputFileError(
                f"'{folder}' holds no readable model.json ({error}). Expected a model folder written by `train`; "
                "check the path."
            ) from error
        return cls(folder, description, _read_curves(folder / "training" / "metrics.csv"))

    @property
    def reliability(self) -> tuple[Reliability, Reliability] | None:
        """Reliability before and after calibration; None where the model was not calibrated."""
        kept = self.description.get("calibration", {})
        if not kept.get("before"):
            return None
        return _reliability(kept["before"]), _reliability(kept["after"])

    @property
    def calibration_reason(self) -> str:
        """Sentence on the calibration of the model; empty where there is none."""
        return str(self.description.get("calibration", {}).get("reason", ""))

    def facts(self) -> list[tuple[str, str]]:
        """Return names and values of the facts about the model."""
        d = self.description
        members = ", ".join(
            f"{m.get('kind', '?')} (weight {m.get('weight', 1):.2f})" for m in d.get("members", [])
        )
        facts = [
            ("model folder", str(self.folder)),
            ("members", members),
            ("bands", ", ".join(map(str, d.get("bands", [])))),
            ("pixel size", f"{d['resolution_m']:.4g} m" if "resolution_m" in d else ""),
            ("chip size", f"{d['chip_size']} px" if "chip_size" in d else ""),
            ("reason for this model", str(d.get("reason", ""))),
            ("score on held-out points", _held_out(d.get("scores", {}))),
            ("trained on", (d.get("embedding") or d.get("companion") or {}).get("attribution", "")),
            ("seed", str(d.get("seed", ""))),
            ("weights", str(d.get("weights_sha256", ""))[:16]),
        ]
        return [(name, value) for name, value in facts if value]


def _held_out(scores: Mapping[str, Any]) -> str:
    """Return the scores of the members, and of the forest as baseline, on held-out points."""
    rows = {name: row for name, row in scores.items() if "mean_f1" in row and name != "how"}
    return ", ".join(f"{name} mean F1 {row['mean_f1']:.3f}" for name, row in rows.items())


def _reliability(kept: Mapping[str, Any]) -> Reliability:
    arrays = {
        name: np.array([np.nan if v is None else v for v in kept[name]], dtype=np.float64)
        for name in ("edges", "confidence", "accuracy", "low", "high")
    }
    count, error = np.array(kept["count"], np.int64), kept.get("expected_calibration_error")
    return Reliability(count=count, ece=np.nan if error is None else float(error), **arrays)


def _read_curves(path: Path) -> dict[str, tuple[list[float], list[float]]]:
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        found = {name: _curve(rows, column) for column, name in _CURVES.items()}
    except (OSError, ValueError, TypeError, LookupError, csv.Error) as error:
        raise InputFileError(
            f"The training log '{path}' is damaged: it is no table of numbers by step. Expected the file as training wrote it; "
            "copy the model folder again, or delete the file to go without its curves."
        ) from error
    return {name: curve for name, curve in found.items() if len(curve[0]) > 1}


def _curve(rows: Sequence[Mapping[str, str]], column: str) -> tuple[list[float], list[float]]:
    """Return the steps at which a column of the log has values, and these values."""
    kept = [row for row in rows if row.get(column)]
    return [float(row["step"]) for row in kept], [float(row[column]) for row in kept]
