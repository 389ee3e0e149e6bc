"""Records of a training: its losses, and descriptions of scenes, points and library versions."""

from __future__ import annotations

import csv
import hashlib
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import RasterError
from geopointseg.labels.placement import NOT_TRAINED
from geopointseg.labels.points import Points
from geopointseg.labels.sparse_mask import locate_pixels
from geopointseg.learning.training_imagery import TrainingImagery
from geopointseg.legend import Legend
from geopointseg.raster.scene import Scene
from geopointseg.sampling.patch import LabelledPixels

COLUMNS = (
    "step", "seconds", "progress", "learning_rate", "loss", "points", "distillation", "consistency", "grown",
    "dice", "lovasz", "affinity", "entropy", "reconstruction", "held_out_mean_f1", "held_out_overall_accuracy",
    "held_out_loss", "pseudo_labels",
)  # fmt: skip
LIBRARIES = (
    "geopointseg", "torch", "lightning", "segmentation-models-pytorch", "timm", "torchgeo", "scikit-learn", "numpy",
    "rasterio",
)  # fmt: skip


class TrainingLog:
    """Losses by step, as ``metrics.csv`` and as TensorBoard events.

    Parameters
    ----------
    folder
        Folder of both.
    resume_at
        Rows of an earlier run are kept up to this step; None keeps none.
    """

    def __init__(self, folder: Path, resume_at: int | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "metrics.csv"
        self._events = SummaryWriter(str(folder))
        kept = self.rows() if resume_at is not None and self._path.exists() else []
        self._path.unlink(missing_ok=True)
        self._append(COLUMNS)
        for row in kept:
            if int(row["step"]) <= (resume_at or 0):
                self._append([row.get(name, "") for name in COLUMNS])

    def write(self, step: int, seconds: float, progress: float, values: Mapping[str, Any]) -> None:
        """Write one row.

        Parameters
        ----------
        step
            Optimizer step.
        seconds
            Time since the start of the training.
        progress
            Used share of the budget, 0..1.
        values
            By column; columns without a value stay empty.
        """
        row = {"step": step, "seconds": round(seconds, 2), "progress": round(progress, 5), **values}
        self._append([_format(row.get(name, "")) for name in COLUMNS])
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._events.add_scalar(name, value, step)

    def rows(self) -> list[dict[str, str]]:
        """Return all rows of ``metrics.csv``, with values as text."""
        with self._path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def draw(self, path: Path) -> None:
        """Draw losses and held-out scores by step to an image file."""
        from matplotlib.figure import Figure

        rows = self.rows()
        figure = Figure(figsize=(8, 6), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True)
        for axis, prefix in ((top, ""), (bottom, "held_out_")):
            for name in COLUMNS[4:-1]:
                if name.startswith("held_out_") != bool(prefix):
                    continue
                pairs = [(int(r["step"]), float(r[name])) for r in rows if r[name]]
                if pairs:
                    steps, values = zip(*pairs, strict=True)
                    label = name.removeprefix(prefix).replace("_", " ")
                    axis.plot(steps, values, marker="." if prefix else "", label=label)
            if axis.lines:
                axis.legend(frameon=False, fontsize=8)
        top.set_ylabel("loss")
        bottom.set_ylabel("held-out points")
        bottom.set_xlabel("step")
        figure.savefig(path, dpi=110)

    def close(self) -> None:
        """Finish the event file."""
        self._events.close()

    def _append(self, values: Sequence[Any]) -> None:
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(values)


def _format(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed libraries that training uses."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def describe_scenes(
    scenes: Sequence[Scene], roles: Sequence[str], imagery: TrainingImagery
) -> list[dict[str, Any]]:
    """Return name, role, bounds and pixel fingerprint of every scene, without paths, for privacy.

    Parameters
    ----------
    scenes
        The scenes.
    roles
        Role of each scene.
    imagery
        Imagery in memory, of which the fingerprint is computed.

    Returns
    -------
    list of dict
        One per scene. Bounds are in the scene's CRS and, where that is georeferenced, in degrees of longitude and latitude.
    """
    rows = []
    for position, (scene, role) in enumerate(zip(scenes, roles, strict=True)):
        digest = hashlib.sha256()
        for patch in imagery.patches:
            if patch.scene == position:
                digest.update(np.ascontiguousarray(patch.image).data)
                digest.update(np.ascontiguousarray(patch.valid).data)
        rows.append(
            {
                "name": scene.name,
                "role": role,
                "crs": scene.grid.crs.to_string(),
                "shape": [scene.grid.height, scene.grid.width],
                "bounds": list(scene.grid.bounds),
                "bounds_wgs84": _bounds_on_earth(scene),
                "sha256": digest.hexdigest(),
            }
        )
    return rows


def _bounds_on_earth(scene: Scene) -> list[float] | None:
    """Return west, south, east, north in degrees (WGS 84); None for a scene that is not georeferenced."""
    from rasterio.crs import CRS

    try:
        return [round(v, 7) for v in scene.grid.bounds_in(CRS.from_epsg(4326))]
    except RasterError:
        return None


def describe_points(points: Points, counts: Sequence[int]) -> dict[str, Any]:
    """Return source, number and fingerprint of points, and ``counts``, the labelled pixels per class."""
    digest = hashlib.sha256()
    for array in (points.x, points.y, points.class_index, points.weight):
        digest.update(np.ascontiguousarray(array).data)
    names = points.legend.names
    return {
        "source": Path(points.source).name,
        "class_field": points.class_field,
        "count": len(points),
        "sha256": digest.hexdigest(),
        "per_class": dict(zip(names, map(int, counts), strict=True)),
    }


def points_trained_on(
    labels: Points | None,
    scenes: Sequence[Scene],
    imagery: TrainingImagery,
    trained: LabelledPixels,
    legend: Legend,
) -> Points:
    """Return the points that a model was trained on, so that an assessment can detect and exclude them.

    Points that were only used to select members or that lie outside of the imagery are left out. A point whose pixel was learnt
    as another class, that of most points on it, is kept: the pixel was seen.

    Parameters
    ----------
    labels
        All points; None for masks, whose labelled pixels become points at the pixel centres.
    scenes
        All scenes, in the order of the positions in ``imagery``.
    imagery
        Imagery in memory, which gives the position of the pixels.
    trained
        The labelled pixels of the training.
    legend
        The classes.

    Returns
    -------
    Points
        In the CRS of ``labels``, or of the first scene for masks.
    """
    shares = [_pixels_on(scene, i, imagery, trained) for i, scene in enumerate(scenes)]
    if labels is None:
        crs = scenes[0].grid.crs
        parts = [
            _pixel_centres(scene, pixel, trained.class_index[own], legend).to_crs(crs)
            for scene, (pixel, own) in zip(scenes, shares, strict=True)
        ]
        return Points.concatenate(parts)
    kept = np.zeros(len(labels), dtype=bool)
    for scene, (pixel, _) in zip(scenes, shares, strict=True):
        given = np.flatnonzero(
            labels.belong_to(scene.name) & np.isin(labels.split, NOT_TRAINED, invert=True)
        )
        place, owner = locate_pixels(labels.select(given).to_crs(scene.grid.crs), scene.grid)
        kept[given[owner[np.isin(place, pixel)]]] = True
    return labels.select(kept)


def _pixels_on(
    scene: Scene, position: int, imagery: TrainingImagery, trained: LabelledPixels
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the flat positions of the labelled pixels in a scene, and where they are among all labelled pixels."""
    of = np.array([patch.scene for patch in imagery.patches])[trained.patch]
    top = np.array([patch.row for patch in imagery.patches])[trained.patch]
    left = np.array([patch.col for patch in imagery.patches])[trained.patch]
    own = of == position
    pixel = (trained.row + top) * scene.grid.width + trained.col + left
    return pixel[own].astype(np.int64), own


def _pixel_centres(
    scene: Scene, pixel: NDArray[np.int64], class_index: NDArray[np.int64], legend: Legend
) -> Points:
    row, col = np.divmod(pixel, scene.grid.width)
    x, y = scene.grid.pixel_to_world(row + 0.5, col + 0.5)
    return Points.from_arrays(x, y, class_index, legend, scene.grid.crs)
