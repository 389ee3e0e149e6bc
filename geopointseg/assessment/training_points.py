"""Comparison of test points with the training points of the model that made a map.

A map that is tested on the points it was trained on looks better than it is. The map's tags hold the fingerprint of its
model and where the model folder was; the places of the training points stay in that folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geopointseg.assessment.map_origin import fingerprint_folder, locate_folders
from geopointseg.assessment.point_overlap import (
    Encoded,
    is_sample,
    locate_cells,
    match_locations,
    recognize_locations,
)
from geopointseg.errors import Cancelled, GeopointsegError, InputFileError
from geopointseg.labels.points import Points, read_points, write_points
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import ClassMap

OLD_TAG = "GEOPOINTSEG_TRAINING_POINTS"
"""The tag in which maps of geopointseg 0.1 hold unsalted hashes of the training points."""

POINTS_FILE = "points.gpkg"
"""In the ``training`` folder of a model: the points that it learnt from, in the clear."""

PLACES_FILE = "places.npy"
"""In the ``training`` folder of a model with more points than `LARGEST_COUNT`: cells of a sample of them, in the clear."""

LARGEST_COUNT = 20_000
"""Most points that are kept in the clear."""

_ADVICE = "Give its folder with --model (model=... in Python) to have that checked."


@dataclass(frozen=True)
class TrainingCheck:
    """Which test points are training points.

    Parameters
    ----------
    trained
        bool ``(point,)``; False for points that were not checked.
    checked
        Whether all training points were known, or a sample of them.
    sampled
        Whether a sample stood for the training points, so that more test points may be among them.
    reason
        Why nothing, or not everything, was checked; empty where everything was.
    """

    trained: NDArray[np.bool_]
    checked: bool
    sampled: bool = False
    reason: str = ""

    @property
    def count(self) -> int | None:
        """Test points that are training points; None where that was not checked and none was found."""
        found = int(self.trained.sum())
        return found if self.checked or found else None

    @property
    def sentence(self) -> str:
        """What a report says of it: nothing where points were found, because a warning says more."""
        if self.reason:
            return (
                f"Whether test points are training points was not checked: {self.reason} {_ADVICE}"
            )
        if self.trained.any():
            return ""
        known = " (a sample of these was compared)" if self.sampled else ""
        return f"No test point is a training point of the map's model{known}."


def keep_points(points: Points, folder: Path) -> None:
    """Write the points that a model learnt from into its ``training`` folder.

    Up to 20 000 points are written as a GeoPackage. Of more, as dense masks have them, the cells of 20 000 are written.
    """
    if len(points) <= LARGEST_COUNT:
        write_points(points, folder / POINTS_FILE)
        return
    cells = np.unique(locate_cells(points.x, points.y, points.crs))
    np.save(folder / PLACES_FILE, np.random.default_rng(0).permutation(cells)[:LARGEST_COUNT])


def read_kept_points(folder: Path) -> Points | None:
    """Return the points that a model folder keeps; None where it keeps none."""
    path = folder / "training" / POINTS_FILE
    return read_points(path) if path.exists() else None


def check_training_points(
    class_map: ClassMap,
    points: Points,
    models: Sequence[str | os.PathLike[str]] = (),
    reporter: Reporter | None = None,
) -> TrainingCheck:
    """Compare test points with the training points of the models that made a map.

    Parameters
    ----------
    class_map
        The map.
    points
        Test points.
    models
        Where the model folders are; by default where the map's tags say.
    reporter
        Told of progress; may cancel.

    Raises
    ------
    InputFileError
        If a folder in ``models`` is not a model folder.
    """
    check = TrainingCheck(np.zeros(len(points), dtype=bool), checked=False)
    if old := class_map.tags.get(OLD_TAG, ""):
        return replace(
            check, trained=recognize_locations(points.x, points.y, points.crs, old), checked=True
        )
    wanted = [part for part in class_map.fingerprint.split(",") if part]
    named = [Path(model).expanduser() for model in models]
    found = {_require_fingerprint(folder): folder for folder in named}
    folders = named or locate_folders(class_map)
    if not wanted and not named:
        return replace(check, reason="the map does not say which model made it.")
    found |= {print_: f for f in folders if (print_ := fingerprint_folder(f))}
    for fingerprint in wanted or list(found):
        folder = found.get(fingerprint)
        reason = _why_missing(folders, fingerprint, found, given=bool(named))
        check = (
            _join(check, reason) if folder is None else _look_into(folder, points, check, reporter)
        )
    return check


def _look_into(
    folder: Path, points: Points, check: TrainingCheck, reporter: Reporter | None
) -> TrainingCheck:
    """Add what one model folder tells to a check."""
    try:
        trained, sampled = _recognize(folder, points, reporter)
    except Cancelled:
        raise
    except (GeopointsegError, OSError, ValueError, KeyError, TypeError):
        return _join(check, f"the model folder '{folder}' keeps no readable training points.")
    return replace(
        check,
        trained=check.trained | trained,
        checked=not check.reason,
        sampled=check.sampled or sampled,
    )


def _join(check: TrainingCheck, reason: str) -> TrainingCheck:
    return replace(check, checked=False, reason=check.reason or reason)


def _recognize(
    folder: Path, points: Points, reporter: Reporter | None
) -> tuple[NDArray[np.bool_], bool]:
    """Return which points are training points of a model, and whether only a sample of these is known."""
    where = points.x, points.y, points.crs
    in_the_clear = folder / "training"
    if (in_the_clear / POINTS_FILE).exists():
        kept = read_points(in_the_clear / POINTS_FILE)
        return match_locations(*where, locate_cells(kept.x, kept.y, kept.crs)), False
    if (in_the_clear / PLACES_FILE).exists():
        return match_locations(*where, np.load(in_the_clear / PLACES_FILE)), True
    encoded: Encoded | str = _description(folder)["training_points"]
    if not encoded:
        raise ValueError("no training points")
    return recognize_locations(*where, encoded, reporter), is_sample(encoded)


def _description(folder: Path) -> Mapping[str, Encoded | str]:
    found = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}


def _require_fingerprint(folder: Path) -> str:
    found = fingerprint_folder(folder)
    if not found:
        raise InputFileError(
            f"'{folder}' holds no readable model.json. Expected a model folder written by 'train'; check the path."
        )
    return found


def _why_missing(
    folders: Sequence[Path], fingerprint: str, found: Mapping[str, Path], *, given: bool
) -> str:
    """Return why the folder of a model is not known, as part of a sentence."""
    if given:
        names = " and ".join(f"'{folder}'" for folder in folders)
        return f"the map was made by another model than {names} (fingerprint {fingerprint[:12]})."
    if not folders:
        return "the map does not say where its model is."
    changed = [folder for folder in folders if folder in found.values()]
    if len(changed) == len(folders):
        return f"the model in '{_shown(changed[0])}' is another one than the one that made the map."
    missing = next(folder for folder in folders if folder not in changed)
    return f"the model that made the map is no longer in '{_shown(missing)}'."


def _shown(folder: Path) -> str:
    return os.path.normpath(folder)
