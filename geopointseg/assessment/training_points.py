"""Comparison of test points with the training points of the model of a map.

Accuracy on training points is too high. The tags of a map hold the fingerprint of its model and the path of the model
folder. The locations of the training points are in that folder only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geopointseg.assessment.location_digest import (
    Encoded,
    is_sample,
    locate_cells,
    match_locations,
    recognize_locations,
)
from geopointseg.assessment.map_origin import fingerprint_folder, locate_folders
from geopointseg.errors import Cancelled, GeopointsegError, InputFileError
from geopointseg.labels.points import Points, read_points, write_points
from geopointseg.model_document import read_model_document
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import ClassMap

OLD_TAG = "GEOPOINTSEG_TRAINING_POINTS"
"""Tag of maps of geopointseg 0.1 with unsalted hashes of the training points."""

POINTS_FILE = "points.gpkg"
"""File in the ``training`` folder of a model: its training points, not encoded."""

CELLS_FILE = "places.npy"
"""File in the ``training`` folder of a model with more than `LARGEST_COUNT` points: the cells of a random sample."""

LARGEST_COUNT = 20_000
"""Largest number of points that a ``training`` folder keeps."""

_ADVICE = "Give the folder of its model to have that checked."


@dataclass(frozen=True)
class TrainingCheck:
    """Which test points are training points.

    Parameters
    ----------
    trained
        Points that were found among training points, bool ``(point,)``.
    sampled
        Whether only a sample of the training points was compared, so that more test points may be among them.
    reason
        Why training points were not compared, or not those of every model; empty where all were.
    """

    trained: NDArray[np.bool_]
    sampled: bool = False
    reason: str = ""

    @property
    def count(self) -> int | None:
        """Number of test points that are training points; None where none was found and not all were compared."""
        found = int(self.trained.sum())
        return None if self.reason and not found else found

    @property
    def sentence(self) -> str:
        """Sentence for a report; empty where training points were found, which a warning reports."""
        if self.reason:
            return (
                f"Whether test points are training points was not checked: {self.reason} {_ADVICE}"
            )
        if self.trained.any():
            return ""
        sample = " (a sample of these was compared)" if self.sampled else ""
        return f"No test point is a training point of the map's model{sample}."


def keep_points(points: Points, folder: Path) -> None:
    """Write the training points of a model into its ``training`` folder.

    Up to 20 000 points are written as a GeoPackage. Of more points, as from dense masks, the cells of a random sample of
    20 000 are written.
    """
    if len(points) <= LARGEST_COUNT:
        write_points(points, folder / POINTS_FILE)
        return
    cells = np.unique(locate_cells(points.x, points.y, points.crs))
    np.save(folder / CELLS_FILE, np.random.default_rng(0).permutation(cells)[:LARGEST_COUNT])


def read_kept_points(folder: Path) -> Points | None:
    """Return the points that a model folder keeps; None where it keeps none."""
    path = folder / "training" / POINTS_FILE
    return read_points(path) if path.exists() else None


def read_given_or_kept(
    points: Points | str | os.PathLike[str] | None, folders: Sequence[Path]
) -> Points | None:
    """Return points that were given, or named by a path, or that the first of some model folders keeps."""
    if points is None:
        kept = map(read_kept_points, folders)
        return next((found for found in kept if found is not None), None)
    return points if isinstance(points, Points) else read_points(Path(points))


def check_training_points(
    class_map: ClassMap,
    points: Points,
    models: Sequence[str | os.PathLike[str]] = (),
    reporter: Reporter | None = None,
) -> TrainingCheck:
    """Compare test points with the training points of the models of a map.

    Parameters
    ----------
    class_map
        The map.
    points
        Test points.
    models
        Folders of the models; by default those in the tags of the map.
    reporter
        Receives progress; may cancel.

    Returns
    -------
    TrainingCheck
        The points found, and what could not be compared.

    Raises
    ------
    InputFileError
        If a folder in ``models`` is not a model folder.
    """
    check = TrainingCheck(np.zeros(len(points), dtype=bool))
    if old := class_map.tags.get(OLD_TAG, ""):
        return replace(check, trained=recognize_locations(points.x, points.y, points.crs, old))
    wanted = [part for part in class_map.fingerprint.split(",") if part]
    named = [Path(model).expanduser() for model in models]
    found = {_require_fingerprint(folder): folder for folder in named}
    if not wanted and not named:
        return replace(check, reason="the map does not say which model made it.")
    folders = named or locate_folders(class_map)
    found |= {print_: folder for folder in folders if (print_ := fingerprint_folder(folder))}
    for fingerprint in wanted or list(found):
        if fingerprint in found:
            check = _compare(found[fingerprint], points, check, reporter)
        else:
            reason = _why_missing(folders, fingerprint, found, given=bool(named))
            check = replace(check, reason=check.reason or reason)
    return check


def _compare(
    folder: Path, points: Points, check: TrainingCheck, reporter: Reporter | None
) -> TrainingCheck:
    """Add the result for one model folder to a check."""
    try:
        trained, sampled = _recognize(folder, points, reporter)
    except Cancelled:
        raise
    except (GeopointsegError, OSError, ValueError, KeyError, TypeError):
        reason = f"the model folder '{folder}' keeps no readable training points."
        return replace(check, reason=check.reason or reason)
    return replace(check, trained=check.trained | trained, sampled=check.sampled or sampled)


def _recognize(
    folder: Path, points: Points, reporter: Reporter | None
) -> tuple[NDArray[np.bool_], bool]:
    """Return which points are training points of a model, and whether only a sample of these is known."""
    where = points.x, points.y, points.crs
    kept = read_kept_points(folder)
    if kept is not None:
        return match_locations(*where, locate_cells(kept.x, kept.y, kept.crs)), False
    cells = folder / "training" / CELLS_FILE
    if cells.exists():
        return match_locations(*where, np.load(cells, mmap_mode="r")), True
    description = read_model_document(folder / "model.json")
    encoded: Encoded | str = description["training_points"]
    if not encoded:
        raise ValueError("no training points")
    return recognize_locations(*where, encoded, reporter), is_sample(encoded)


def _require_fingerprint(folder: Path) -> str:
    found = fingerprint_folder(folder)
    if not found:
        raise InputFileError(
            f"'{folder}' holds no readable model.json. Expected a model folder written by `train`; check the path."
        )
    return found


def _why_missing(
    folders: Sequence[Path], fingerprint: str, found: Mapping[str, Path], *, given: bool
) -> str:
    """Return why the folder of a model was not found, as part of a sentence."""
    if given:
        names = " and ".join(f"'{folder}'" for folder in folders)
        return f"the map was made by another model than {names} (fingerprint {fingerprint[:12]})."
    if not folders:
        return "the map does not say where its model is."
    changed = [folder for folder in folders if folder in found.values()]
    if len(changed) == len(folders):
        return f"the model in '{os.path.normpath(changed[0])}' is another one than the one that made the map."
    missing = next(folder for folder in folders if folder not in changed)
    return f"the model that made the map is no longer in '{os.path.normpath(missing)}'."
