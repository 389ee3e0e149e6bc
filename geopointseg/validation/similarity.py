"""Maps of the cosine similarity of an embedding to the vectors of points: what looks like this point."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.bands.opening import Source, open_scenes
from geopointseg.config import SceneConfig
from geopointseg.errors import PointsError, RasterError
from geopointseg.labels.points import Points, read_points
from geopointseg.labels.sparse_mask import locate_pixels
from geopointseg.legend import Legend, LegendEntry
from geopointseg.prediction.mosaic import Mosaic
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import ATTRIBUTION_TAG
from geopointseg.raster.crs import keep_crs
from geopointseg.raster.publishing import (
    refuse_overwriting_inputs,
    require_ending,
    require_writable_folder,
    whole_file,
)
from geopointseg.summary import described, join_names

_WINDOW_PX = 512
_SAMPLED_PX = 1_000_000
"""Approximate largest number of pixels whose median is told."""
_SIMILARITIES_AT_ONCE = 2**23
_MOST_POINTS = 5000


@described
@dataclass(frozen=True)
class SimilarityMap:
    """A written map of similarity.

    Parameters
    ----------
    output
        The file: one band for each class, the largest cosine similarity to a point of that class, -1 to 1.
    points
        Number of points by class.
    median
        Median similarity of the valid pixels, by class; of a sample of the windows.
    """

    output: Path
    points: dict[str, int]
    median: dict[str, float]

    def _summary(self) -> list[str]:
        return [f"SimilarityMap '{self.output}': {join_names(self.points)}"]

    def to_json(self) -> dict[str, Any]:
        """Return the content as plain values."""
        return {"output": str(self.output), "points": self.points, "median": self.median}


def map_similarity(
    scenes: Source | Sequence[Source],
    points: Points | str | os.PathLike[str] | Sequence[tuple[float, float]],
    output: str | os.PathLike[str],
    *,
    settings: SceneConfig | None = None,
    reporter: Reporter | None = None,
) -> SimilarityMap:
    """Write how similar each pixel of an embedding is to the pixels of points.

    Parameters
    ----------
    scenes
        An embedding, or several that are mapped as one mosaic.
    points
        Points with classes, the path of a layer, or coordinates ``(x, y)`` in the CRS of the first scene.
    output
        GeoTIFF of 32-bit floats, NaN where there is no image.
    settings
        How the scenes are read.
    reporter
        Gets progress; may cancel.

    Returns
    -------
    SimilarityMap
        The file, and the number of points of each class.

    Raises
    ------
    RasterError
        If the scenes are no embedding.
    PointsError
        If no point lies on a valid pixel, or there are too many points.
    OutputError
        If the output cannot be written.
    """
    reporter = reporter or Reporter()
    path = Path(output)
    require_ending(path, "GeoTIFF")
    require_writable_folder(path)
    reading = (settings or SceneConfig()).reading
    bands = (settings or SceneConfig()).bands
    opened = open_scenes(scenes, bands=bands, reporter=reporter, **reading)
    if opened[0].embedding is None:
        raise RasterError(
            f"'{opened[0].name}' is imagery. Expected an embedding, whose vectors can be compared; for imagery train a model, "
            "or set [scene] decode where the file does not tell that it is one."
        )
    mosaic = Mosaic.of(opened, reporter)
    refuse_overwriting_inputs([path], mosaic.files())
    placed = _as_points(points, mosaic)
    names, vectors, class_index = _vectors_of(placed, mosaic)
    counts = {name: int((class_index == k).sum()) for k, name in enumerate(names)}
    median = _write(path, mosaic, names, vectors, class_index, reporter)
    return SimilarityMap(path, counts, median)


def _as_points(
    points: Points | str | os.PathLike[str] | Sequence[tuple[float, float]], mosaic: Mosaic
) -> Points:
    if isinstance(points, Points):
        return points
    if isinstance(points, (str, os.PathLike)):
        return read_points(Path(points))
    x, y = np.array(points, dtype=np.float64).reshape(-1, 2).T
    legend = Legend((LegendEntry(1, "similarity", "#555555"),))
    return Points.from_arrays(x, y, np.zeros(len(x), np.int64), legend, mosaic.grid.crs)


def _vectors_of(
    points: Points, mosaic: Mosaic
) -> tuple[list[str], NDArray[np.float32], NDArray[np.int64]]:
    """Return the classes of points on valid pixels, their unit vectors ``(point, dimension)`` and class positions."""
    place, owner = locate_pixels(points.to_crs(mosaic.grid.crs), mosaic.grid)
    if len(place) > _MOST_POINTS:
        raise PointsError(
            f"The points, lines and polygons lie on {len(place)} pixels. Expected at most {_MOST_POINTS}, because every pixel is compared "
            "with all; choose typical ones."
        )
    row, col = np.divmod(place, mosaic.grid.width)
    chips = [mosaic.read(Window(int(c), int(r), 1, 1)) for r, c in zip(row, col, strict=True)]
    valid = np.array([chip.valid[0, 0] for chip in chips], dtype=bool)
    if not valid.any():
        raise PointsError(
            f"None of the {len(points)} points lies on a valid pixel of '{mosaic.scenes[0].name}'. Expected points on the "
            "embedding; check their coordinate reference system."
        )
    vectors = np.stack([chip.image[:, 0, 0] for chip in chips])[valid]
    index = points.class_index[owner[valid]]
    present = np.unique(index)
    names = [points.legend.names[k] for k in present]
    return names, _unit(vectors), np.searchsorted(present, index)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, np.float32(1e-12)), np.float32)


def _write(
    path: Path,
    mosaic: Mosaic,
    names: Sequence[str],
    vectors: NDArray[np.float32],
    class_index: NDArray[np.int64],
    reporter: Reporter,
) -> dict[str, float]:
    """Write the map window by window; return the median of each band over a sample."""
    grid = mosaic.grid
    profile = {
        "driver": "GTiff", "height": grid.height, "width": grid.width, "count": len(names), "crs": grid.crs,
        "transform": grid.transform, "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate",
        "predictor": 3, "bigtiff": "if_safer", "dtype": "float32", "nodata": float("nan"), "interleave": "band",
    }  # fmt: skip
    embedding = mosaic.scenes[0].embedding
    thin = max(97, grid.height * grid.width // _SAMPLED_PX)
    samples: list[NDArray[np.float32]] = [np.empty((len(names), 0), np.float32)]
    with ExitStack() as stack:
        partial = stack.enter_context(whole_file(path))
        file = stack.enter_context(rasterio.open(partial, "w", **profile))
        file.update_tags(**{ATTRIBUTION_TAG: embedding.attribution if embedding else ""})
        for number, name in enumerate(names, start=1):
            file.set_band_description(number, name)
        with reporter.stage("similarity", total=grid.height * grid.width) as advance:
            for window in _windows(grid.shape):
                chip = mosaic.read(window)
                found = compute_similarity(chip.image, vectors, class_index, len(names))
                samples.append(found[:, chip.valid][:, ::thin])
                found[:, ~chip.valid] = np.nan
                file.write(found, window=window)
                advance(int(window.height * window.width))
        file.close()
        keep_crs(partial, grid.crs, grid.epoch)
    sample = np.concatenate(samples, axis=1)
    medians = np.median(sample, axis=1) if sample.shape[1] else np.full(len(names), np.nan)
    return dict(zip(names, map(float, medians), strict=True))


def _windows(shape: tuple[int, int]) -> list[Window]:
    height, width = shape
    return [
        Window(left, top, min(_WINDOW_PX, width - left), min(_WINDOW_PX, height - top))
        for top in range(0, height, _WINDOW_PX)
        for left in range(0, width, _WINDOW_PX)
    ]


def compute_similarity(
    image: NDArray[np.float32],
    vectors: NDArray[np.float32],
    class_index: NDArray[np.int64],
    classes: int,
) -> NDArray[np.float32]:
    """Return the largest cosine similarity of each pixel to the vectors of each class.

    Parameters
    ----------
    image
        float32 ``(dimension, row, col)``.
    vectors
        Unit vectors, float32 ``(vector, dimension)``.
    class_index
        Class of each vector, int64 ``(vector,)``; each class has one at least.
    classes
        Number of classes.

    Returns
    -------
    numpy.ndarray
        float32 ``(class, row, col)``, from -1 to 1; 0 for vectors of length 0.

    Examples
    --------
    >>> image = np.float32([[[1, 1, 0]], [[0, 1, 0]]])
    >>> compute_similarity(image, np.float32([[1, 0]]), np.array([0]), 1).round(3)
    array([[[1.   , 0.707, 0.   ]]], dtype=float32)
    """
    flat = image.reshape(len(image), -1)
    found = np.empty((classes, flat.shape[1]), np.float32)
    step = max(_SIMILARITIES_AT_ONCE // len(vectors), 1)
    for first in range(0, flat.shape[1], step):
        piece = flat[:, first : first + step]
        length = np.maximum(np.linalg.norm(piece, axis=0), np.float32(1e-12))
        similarity = vectors @ piece / length
        for index in range(classes):
            found[index, first : first + step] = similarity[class_index == index].max(axis=0)
    return found.reshape(classes, *image.shape[1:]).clip(-1, 1)
