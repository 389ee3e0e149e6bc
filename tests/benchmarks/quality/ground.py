"""The ground that recipes are judged on: scenes to train on, seeded points, and a reference elsewhere.

Nothing is chosen here to suit a recipe: points are drawn from the training ground by seed, with as many of each class
as asked for or as there are, and scores are taken on other scenes, other halves of a scene, or held-out points.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from boundary import count_boundaries
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.assessment.confusion import ConfusionMatrix
from geopointseg.lab.dense_mask import read_dense_mask
from geopointseg.labels.points import read_points
from geopointseg.labels.sparse_mask import UNLABELLED, SparseMask, rasterize_points
from geopointseg.legend import Legend
from geopointseg.raster.grid import Grid
from geopointseg.raster.scene import Scene

Classes = NDArray[np.int64]

FOLDS = 5
FEWEST_PIXELS = 50
"""Classes with fewer pixels on either side are left out: nothing can be learnt or scored."""


@dataclass(frozen=True)
class Place:
    """A scene and what is known of it: class index ``(row, col)``, negative where nothing is."""

    scene: Path
    reference: Classes


@dataclass(frozen=True)
class Ground:
    """One train and test split of a set.

    Parameters
    ----------
    name
        Its name; those with the same ``pooled`` name are scored together.
    pooled
        The name of the set.
    training
        Scenes with every label that may be learnt from.
    test
        Scenes with the labels that are scored.
    legend
        Classes that both have.
    is_sub_metre
        Whether pixels are smaller than a metre.
    is_dense
        Whether every pixel of the training ground has a label.
    is_half
        Whether training and test ground are halves of one scene with another mixture of classes.
    """

    name: str
    pooled: str
    training: tuple[Place, ...]
    test: tuple[Place, ...]
    legend: Legend
    is_sub_metre: bool
    is_dense: bool
    is_half: bool = False

    def masks(self, per_class: int, seed: int) -> list[SparseMask]:
        """Draw points: ``per_class`` of each class over all training scenes; 0 takes every label."""
        flat = np.concatenate([place.reference.ravel() for place in self.training])
        chosen = flat >= 0
        if per_class:
            generator = np.random.default_rng(seed)
            chosen = np.zeros(len(flat), dtype=bool)
            for index in range(len(self.legend)):
                pixels = np.flatnonzero(flat == index)
                chosen[generator.permutation(pixels)[:per_class]] = True
        masks, start = [], 0
        for place in self.training:
            stop = start + place.reference.size
            kept = chosen[start:stop].reshape(place.reference.shape)
            labels = np.where(kept, place.reference, UNLABELLED)
            masks.append(SparseMask.from_array(labels, Scene.open(place.scene).grid, self.legend))
            start = stop
        return masks

    def score(self, classify: Callable[[Path], Classes]) -> ConfusionMatrix:
        """Count map against reference over all test scenes."""
        parts = [
            ConfusionMatrix.from_labels(classify(place.scene), place.reference, self.legend)
            for place in self.test
        ]
        return sum(parts[1:], parts[0])

    def score_boundaries(self, classify: Callable[[Path], Classes]) -> NDArray[np.int64]:
        """Count boundary pixels over all test scenes; see `boundary.count_boundaries`."""
        parts = [
            count_boundaries(classify(place.scene), place.reference, len(self.legend))
            for place in self.test
        ]
        return np.asarray(np.sum(parts, axis=0))


def read_sets(data: Path, folder: Path) -> dict[str, list[Ground]]:
    """Return the grounds of every set by its name; parts of scenes are cut out into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = [*_swiss(data), *_loveda(data, folder)]
    grounds = [*whole, *_landsat(data), *_leipzig(data), *_halves(data, folder)]
    sets: dict[str, list[Ground]] = {}
    for ground in grounds:
        sets.setdefault(ground.pooled, []).append(ground)
    return sets


def _swiss(data: Path) -> Iterator[Ground]:
    scenes = [data / "swiss_drone" / f"scene_{number}.tif" for number in (8733, 8744)]
    masks = [
        read_dense_mask(
            data / "swiss_drone" / f"mask_{number}.png",
            palette="swiss_drone",
            grid=Scene.open(scene).grid,
        )
        for number, scene in zip((8733, 8744), scenes, strict=True)
    ]
    legend, first, second = _common(masks[0].legend, masks[0].class_index, masks[1].class_index)
    places = Place(scenes[0], first), Place(scenes[1], second)
    for name, (one, other) in {"swiss_01": places, "swiss_10": places[::-1]}.items():
        yield Ground(name, name, (one,), (other,), legend, is_sub_metre=True, is_dense=True)


def _loveda(data: Path, folder: Path) -> Iterator[Ground]:
    halves: dict[str, list[tuple[Path, Classes]]] = {"top": [], "bottom": []}
    for number in range(3):
        source = data / "loveda" / f"scene_{number}.tif"
        dense = read_dense_mask(data / "loveda" / f"reference_{number}.tif", palette="loveda")
        middle = dense.grid.height // 2
        for half, rows in (("top", slice(0, middle)), ("bottom", slice(middle, dense.grid.height))):
            path = folder / f"loveda_{number}_{half}.tif"
            _cut_rows(source, rows, path)
            halves[half].append((path, dense.class_index[rows]))
    legend = dense.legend
    for name, half, other in (("loveda_tb", "top", "bottom"), ("loveda_bt", "bottom", "top")):
        count = len(halves[half])
        stacked = [np.concatenate([c for _, c in halves[h]]) for h in (half, other)]
        common, learnt, scored = _common(legend, *stacked)
        parts = [np.split(labels, count) for labels in (learnt, scored)]
        training, test = (
            tuple(Place(path, part) for (path, _), part in zip(halves[h], own, strict=True))
            for h, own in zip((half, other), parts, strict=True)
        )
        yield Ground(name, name, training, test, common, is_sub_metre=True, is_dense=True)


def _cut_rows(source: Path, rows: slice, path: Path) -> None:
    with rasterio.open(source) as dataset:
        window = Window(0, rows.start, dataset.width, rows.stop - rows.start)
    _cut(source, window, path)


def _cut(source: Path, window: Window, path: Path) -> None:
    if path.exists():
        return
    partial = path.with_suffix(f".{os.getpid()}")
    with rasterio.open(source) as dataset:
        profile = dataset.profile | {
            "driver": "GTiff",
            "height": window.height,
            "width": window.width,
            "transform": dataset.window_transform(window),
        }
        with rasterio.open(partial, "w", **profile) as target:
            target.write(dataset.read(window=window))
    partial.replace(path)


def _common(legend: Legend, learnt: Classes, scored: Classes) -> tuple[Legend, Classes, Classes]:
    """Keep the classes that occur on both sides."""
    kept = [
        i
        for i in range(len(legend))
        if min((learnt == i).sum(), (scored == i).sum()) >= FEWEST_PIXELS
    ]
    table = np.full(len(legend) + 1, -1, dtype=np.int64)
    table[kept] = np.arange(len(kept))
    entries = tuple(legend.entries[i] for i in kept)
    return Legend(entries), table[learnt], table[scored]


def _halves(data: Path, folder: Path) -> Iterator[Ground]:
    """Halve scenes at the column that makes the class shares of both halves differ most; each half teaches once."""
    scenes = [
        (data / "swiss_drone" / f"scene_{n}.tif", data / "swiss_drone" / f"mask_{n}.png", "swiss_drone")
        for n in (8733, 8744)
    ] + [
        (data / "loveda" / f"scene_{n}.tif", data / "loveda" / f"reference_{n}.tif", "loveda")
        for n in range(3)
    ]  # fmt: skip
    for source, reference, palette in scenes:
        dense = read_dense_mask(reference, palette=palette, grid=Scene.open(source).grid)
        name = f"half_{palette.split('_')[0]}_{source.stem.removeprefix('scene_')}"
        yield from _both_ways(name, source, dense.class_index, dense.legend, folder)
    (landsat,) = _landsat(data)
    (place,) = landsat.test
    yield from _both_ways("half_landsat", place.scene, place.reference, landsat.legend, folder)


def _both_ways(
    name: str, source: Path, reference: Classes, legend: Legend, folder: Path
) -> Iterator[Ground]:
    """Yield both directions of one halved scene."""
    column = _most_different(reference, len(legend))
    spans = slice(0, column), slice(column, reference.shape[1])
    common, *parts = _common(legend, *(reference[:, span] for span in spans))
    if len(common) < 2:
        return
    places = []
    for side, span, part in zip("lr", spans, parts, strict=True):
        path = folder / f"{name}_{side}.tif"
        _cut_columns(source, span, path)
        places.append(Place(path, part))
    for side, (one, other) in zip(("lr", "rl"), (places, places[::-1]), strict=True):
        yield Ground(
            f"{name}_{side}", name, (one,), (other,), common,
            is_sub_metre="landsat" not in name, is_dense=True, is_half=True,
        )  # fmt: skip


def _most_different(reference: Classes, classes: int) -> int:
    """Return the column that makes the class shares of both sides differ most.

    Only columns of the middle half of the scene count, and only those that keep the most classes on both sides.
    """
    counts = np.stack([(reference == k).sum(axis=0) for k in range(classes)]).cumsum(axis=1)
    rest = counts[:, -1:] - counts
    left, right = (side / side.sum(axis=0).clip(1) for side in (counts, rest))
    kept = (np.minimum(counts, rest) >= FEWEST_PIXELS).sum(axis=0)
    difference = np.abs(left - right).sum(axis=0)
    columns = np.arange(reference.shape[1] // 4, 3 * reference.shape[1] // 4)
    return int(max(columns, key=lambda c: (kept[c - 1], difference[c - 1])))


def _cut_columns(source: Path, columns: slice, path: Path) -> None:
    with rasterio.open(source) as dataset:
        window = Window(columns.start, 0, columns.stop - columns.start, dataset.height)
    _cut(source, window, path)


def _landsat(data: Path) -> Iterator[Ground]:
    folder = data / "nc_landsat7"
    scene = Scene.open(folder / "nc_landsat7_5band.tif")
    points = read_points(folder / "landsat96_points.shp", class_field="id")
    mask = rasterize_points(points, scene.grid)
    valid = scene.read(scene.grid.window).valid
    with rasterio.open(folder / "nc_landclass96_reference.tif") as dataset:
        codes = dataset.read(1)
    dense = np.full(codes.shape, -1, dtype=np.int64)
    for index, entry in enumerate(points.legend.entries):
        dense[codes == entry.code] = index
    dense[~valid] = -1
    place = Place(scene.path, _labels(mask, scene.grid, valid))
    yield Ground(
        "nc_landsat7", "nc_landsat7", (place,), (Place(scene.path, dense),), points.legend,
        is_sub_metre=False, is_dense=False,
    )  # fmt: skip


def _labels(mask: SparseMask, grid: Grid, valid: NDArray[np.bool_]) -> Classes:
    labels = np.full(grid.shape, -1, dtype=np.int64)
    labels[mask.row, mask.col] = mask.class_index
    labels[~valid] = -1
    return labels


def _leipzig(data: Path) -> Iterator[Ground]:
    """Five folds of clustered ground; points of the other folds teach, those of the fold are scored."""
    from sklearn.cluster import KMeans

    folder = data / "leipzig_s2"
    scene = Scene.open(folder / "leipzig_raster.tif")
    points = read_points(folder / "leipzig_points.gpkg", class_field="land_cover")
    valid = scene.read(scene.grid.window).valid
    labels = _labels(rasterize_points(points, scene.grid), scene.grid, valid)
    row, col = np.nonzero(labels >= 0)
    cluster = KMeans(FOLDS, n_init=10, random_state=0).fit_predict(np.column_stack([row, col]))
    for fold in range(FOLDS):
        known = [np.full_like(labels, -1) for _ in range(2)]
        for part, own in zip(known, (cluster != fold, cluster == fold), strict=True):
            part[row[own], col[own]] = labels[row[own], col[own]]
        places = [Place(scene.path, part) for part in known]
        yield Ground(
            f"leipzig_s2_fold{fold}", "leipzig_s2", (places[0],), (places[1],), points.legend,
            is_sub_metre=False, is_dense=False,
        )  # fmt: skip
