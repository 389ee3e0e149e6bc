"""The ground that recipes are judged on: scenes to train on, seeded points, and a reference elsewhere.

Nothing is chosen here to suit a recipe: points are drawn from the training ground by seed, with as many of each class
as asked for or as there are, and scores are taken on other scenes, other halves of a scene, or held-out points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
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
    """

    name: str
    pooled: str
    training: tuple[Place, ...]
    test: tuple[Place, ...]
    legend: Legend
    is_sub_metre: bool
    is_dense: bool

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


def read_sets(data: Path, folder: Path) -> dict[str, list[Ground]]:
    """Return the grounds of every set by its name; parts of scenes are cut out into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    grounds = [*_swiss(data), *_loveda(data, folder), *_landsat(data), *_leipzig(data)]
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
    if path.exists():
        return
    with rasterio.open(source) as dataset:
        window = Window(0, rows.start, dataset.width, rows.stop - rows.start)
        profile = dataset.profile | {
            "height": window.height,
            "transform": dataset.window_transform(window),
        }
        with rasterio.open(path, "w", **profile) as target:
            target.write(dataset.read(window=window))


def _common(legend: Legend, learnt: Classes, scored: Classes) -> tuple[Legend, Classes, Classes]:
    """Keep the classes that occur on both sides."""
    kept = [i for i in range(len(legend)) if (learnt == i).any() and (scored == i).any()]
    table = np.full(len(legend) + 1, -1, dtype=np.int64)
    table[kept] = np.arange(len(kept))
    entries = tuple(legend.entries[i] for i in kept)
    return Legend(entries), table[learnt], table[scored]


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
