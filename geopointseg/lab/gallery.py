"""Map figures of a study: maps and reference side by side, and the squares with most errors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geopointseg.lab.comparison import RunScore
from geopointseg.legend import Legend
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.scene import Scene
from geopointseg.report.figure_style import new_figure
from geopointseg.report.picture import picture_scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from geopointseg.lab.experiment import StudyScenes
    from geopointseg.lab.factor_study import StudyResult
    from geopointseg.lab.study_data import StudyData

Classes = NDArray[np.signedinteger]
Picture = NDArray[np.uint8]

WRONG = (214, 39, 40)
CROP_PX = 192
LONGEST_PX = 620
STRIPES = (225, 225, 225), (150, 150, 150)
"""Colours of the stripes that mark unlabelled pixels."""
STRIPE_PX = 4


@dataclass(frozen=True, eq=False)
class MappedImage:
    """One test image with its reference and maps, all of the same shape.

    Parameters
    ----------
    image
        Natural colours, uint8 ``(row, col, 4)``.
    reference
        int ``(row, col)``, class indices, -1 where unlabelled.
    maps
        Class indices by name of the map; the first one is of the best combination of levels.
    legend
        The classes.
    """

    image: Picture
    reference: Classes
    maps: dict[str, Classes]
    legend: Legend


def draw_maps(result: StudyResult, data: StudyData) -> Figure | None:
    """Draw the test images of a data set: image, reference, and the maps of the first seed.

    Parameters
    ----------
    result
        The scores and maps.
    data
        One of the data sets.

    Returns
    -------
    Figure or None
        None where no run has maps.
    """
    shown = read_mapped_images(result, data)
    if not shown or not shown[0].maps:
        return None
    names = list(shown[0].maps)
    figure, axes = _grid(len(shown), 2 + len(names), _aspect(shown))
    for row, one in zip(axes, shown, strict=True):
        pictures = [one.image, paint(one.reference, one.legend)]
        pictures += [paint(one.maps[name], one.legend) for name in names]
        for axis, picture in zip(row, pictures, strict=True):
            axis.imshow(picture[:: _step(picture), :: _step(picture)], interpolation="nearest")
    titles = ["image", "reference", *(name.partition(",")[0] for name in names)]
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=8.5)
    _name_classes(figure, shown)
    return figure


def draw_failures(result: StudyResult, data: StudyData, count: int = 4) -> Figure | None:
    """Draw the squares with most errors of the best combination of levels.

    From left to right: image, reference, map, and the wrong pixels in red on the image. Squares do not overlap.

    Parameters
    ----------
    result
        The scores and maps.
    data
        One of the data sets.
    count
        Number of squares.

    Returns
    -------
    Figure or None
        None where no run has maps, or no pixel is wrong.
    """
    shown = [one for one in read_mapped_images(result, data) if one.maps]
    if not shown:
        return None
    pairs = [(one.reference, next(iter(one.maps.values()))) for one in shown]
    side = min(CROP_PX, *(min(reference.shape) for reference, _ in pairs))
    places = worst_squares(pairs, count, side)
    if not places:
        return None
    figure, axes = _grid(len(places), 4, 1.0)
    for row, (number, top, left) in zip(axes, places, strict=True):
        one, crop = shown[number], np.s_[top : top + side, left : left + side]
        reference, mapped = one.reference[crop], next(iter(one.maps.values()))[crop]
        image = one.image[crop]
        wrong = (reference >= 0) & (reference != mapped)
        marked = image[..., :3].copy()
        marked[wrong] = (0.45 * marked[wrong] + 0.55 * np.array(WRONG)).astype(np.uint8)
        pictures = [image, paint(reference, one.legend), paint(mapped, one.legend), marked]
        for axis, picture in zip(row, pictures, strict=True):
            axis.imshow(picture, interpolation="nearest")
        row[0].set_ylabel(f"image {number}, row {top}, column {left}", fontsize=7)
    titles = ["image", "reference", "map", "wrong pixels"]
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=8.5)
    _name_classes(figure, shown)
    return figure


def worst_squares(
    pairs: list[tuple[Classes, Classes]], count: int, size: int = CROP_PX
) -> list[tuple[int, int, int]]:
    """Return the squares with most wrong pixels; squares do not overlap, and those without an error are left out.

    Parameters
    ----------
    pairs
        Reference and map, class indices ``(row, col)``; a negative reference is not counted.
    count
        Number of squares.
    size
        Side of a square in pixels.

    Returns
    -------
    list of tuple
        Number of the pair, first row and first column of each square.

    Examples
    --------
    >>> reference, mapped = np.zeros((8, 8), int), np.zeros((8, 8), int)
    >>> mapped[4:, 4:] = 1
    >>> worst_squares([(reference, mapped)], count=1, size=4)
    [(0, 4, 4)]
    """
    found = []
    for number, (reference, mapped) in enumerate(pairs):
        wrong = (reference >= 0) & (reference != mapped)
        height, width = (n // size for n in wrong.shape)
        blocks = wrong[: height * size, : width * size].reshape(height, size, width, size)
        for (row, col), errors in np.ndenumerate(blocks.sum(axis=(1, 3))):
            if errors:
                found.append((-int(errors), number, row * size, col * size))
    return [place[1:] for place in sorted(found)[:count]]


def paint(class_index: Classes, legend: Legend) -> Picture:
    """Return class indices in the colours of their legend, uint8 ``(row, col, 3)``; unlabelled pixels have grey stripes."""
    row, col = np.indices(class_index.shape)
    stripes = np.where(((row + col) // STRIPE_PX % 2 == 0)[..., None], STRIPES[0], STRIPES[1])
    colors = legend.rgb[np.maximum(class_index, 0)]
    return np.where((class_index >= 0)[..., None], colors, stripes).astype(np.uint8)


def read_mapped_images(result: StudyResult, data: StudyData) -> list[MappedImage]:
    """Read the test images of a data set with the maps of its first seed."""
    from geopointseg.lab.experiment import read_study_scenes

    columns = {
        ("best levels" if number == 0 else name): scores[0]
        for number, (name, scores) in enumerate(result.columns(data.name).items())
        if name != "majority"
    }
    with TemporaryDirectory() as folder:
        material = read_study_scenes(data, Path(folder))
        return [
            _read_one(result, material, number, columns)
            for number in range(len(material.test_scenes))
        ]


def _read_one(
    result: StudyResult, material: StudyScenes, number: int, columns: dict[str, RunScore]
) -> MappedImage:
    scene: Scene = material.test_scenes[number]
    maps = {}
    for name, score in columns.items():
        path = result.folder / "runs" / score.key / f"map_{number}.tif"
        if path.exists():
            maps[name] = np.asarray(ClassMap.open(path).read()[0])
    image = picture_scene(scene, longest=max(scene.grid.shape))
    return MappedImage(image, material.test_masks[number].class_index, maps, material.legend)


def _aspect(shown: list[MappedImage]) -> float:
    height, width = shown[0].image.shape[:2]
    return float(height / width)


def _step(picture: Picture) -> int:
    return max(1, int(max(picture.shape[:2])) // LONGEST_PX)


def _grid(rows: int, columns: int, aspect: float) -> tuple[Figure, list[list[Axes]]]:
    figure = new_figure(9.0, 9.0 / columns * aspect * rows + 0.7)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
    return figure, [list(row) for row in axes]


def _name_classes(figure: Figure, shown: list[MappedImage]) -> None:
    from matplotlib.patches import Patch

    legend = shown[0].legend
    handles = [
        Patch(facecolor=color, edgecolor="#888888", linewidth=0.5) for color in legend.colors
    ]
    names = list(legend.names)
    if any((one.reference < 0).any() for one in shown):
        light, dark = ("#" + bytes(stripe).hex() for stripe in STRIPES)
        handles.append(Patch(facecolor=light, edgecolor=dark, hatch="////", linewidth=0.5))
        names.append("not labelled")
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=min(len(names), 8),
        frameon=False,
        fontsize=8,
    )
