"""Figures of radiometric matching: histograms before and after, as counts and as densities, and quick looks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.bands.band_names import common_name
from geopointseg.errors import OutputError
from geopointseg.radiometry.band_statistics import SceneStatistics
from geopointseg.radiometry.distribution import BandStatistics
from geopointseg.radiometry.histogram_matching import Matching
from geopointseg.raster.publishing import require_writable_folder, whole_file
from geopointseg.raster.scene import Scene, ScenePath
from geopointseg.report.figure_style import literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_QUICK_LOOK_PX = 600
_MOST_BANDS = 6
_BINS = 96
_COLORS = {"before": "#b2182b", "after": "#2166ac", "reference": "#4d4d4d"}


@literal
def draw_matching(matching: Matching) -> Figure:
    """Draw raster, matched raster and reference with the same stretch, and their histograms per band.

    One row of quick looks; below for each band (six at most) the counts before and after, and the densities of
    both with the reference's.

    Parameters
    ----------
    matching
        Result of `match_raster`.

    Returns
    -------
    Figure
        The figure.
    """
    from matplotlib.figure import Figure

    bands = min(len(matching.before.bands), _MOST_BANDS)
    figure = Figure(figsize=(11, 3.6 + 1.9 * bands), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[3.4, 1.9 * bands])
    top, bottom = parts
    _draw_quick_looks(top.subplots(1, 3), matching)
    axes = bottom.subplots(bands, 2, squeeze=False)
    for row, k in zip(axes, range(bands), strict=True):
        distributions = {
            "before": matching.before.bands[k],
            "after": matching.after.bands[k],
            "reference": None if matching.reference is None else matching.reference.bands[k],
        }
        draw_histograms(row[0], distributions, normalized=False)
        draw_histograms(row[1], distributions, normalized=True)
        row[0].set_ylabel(matching.before.bands[k].name)
    axes[0, 0].set_title("pixels", fontsize=10)
    axes[0, 1].set_title("share of pixels per unit of value", fontsize=10)
    axes[0, 1].legend(fontsize=8, frameon=False)
    return figure


def draw_histograms(
    axis: Axes, distributions: dict[str, BandStatistics | None], *, normalized: bool
) -> None:
    """Draw histograms of one band over each other, as counts or as densities.

    Parameters
    ----------
    axis
        Axes of the plot.
    distributions
        ``before``, ``after`` and ``reference``; the reference is drawn only as a density, because scenes differ
        in size.
    normalized
        Whether to draw densities.
    """
    filled = {n: d for n, d in distributions.items() if d is not None and not d.is_empty}
    if not normalized:
        filled.pop("reference", None)
    edges = _edges(list(filled.values()))
    for name, distribution in filled.items():
        counts = distribution.histogram(edges)
        if normalized:
            counts = counts / distribution.count / np.diff(edges)
        axis.stairs(counts, edges, label=name, color=_COLORS[name], linewidth=1.2)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _edges(distributions: Sequence[BandStatistics]) -> NDArray[np.float64]:
    low = min(float(d.quantile(0.001)) for d in distributions)
    high = max(float(d.quantile(0.999)) for d in distributions)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    whole = all(np.array_equal(d.values, np.rint(d.values)) for d in distributions[:1])
    if whole and high - low < 4 * _BINS:  # bins of whole values avoid empty bins between integers
        step = max(1.0, np.ceil((high - low) / _BINS))
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + step + 0.5, step)
    return np.linspace(low, high, _BINS + 1)


def _draw_quick_looks(axes: Sequence[Axes], matching: Matching) -> None:
    wanted = matching.reference or matching.after
    channels = _channels(matching.source)
    shown = (
        (matching.source, "before"),
        (Scene.open(matching.output), "after"),
        (matching.shown, "reference"),
    )
    for axis, (scene, title) in zip(axes, shown, strict=True):
        axis.set_axis_off()
        if scene is not None:
            axis.imshow(picture_in_stretch(scene, channels, wanted))
            axis.set_title(f"{title}: {scene.name}", fontsize=9)


def picture_in_stretch(
    scene: Scene, channels: Sequence[int], stretch: SceneStatistics
) -> NDArray[np.float64]:
    """Return a scene as colours, stretched from the 2nd to the 98th percentile of given statistics.

    Parameters
    ----------
    scene
        The scene.
    channels
        Indices of its red, green and blue band, from 0.
    stretch
        Statistics of the stretch; the same for several scenes that are to be compared.

    Returns
    -------
    NDArray
        float64 ``(row, col, 4)``, red, green, blue and opacity, 0..1.
    """
    chip = scene.read_overview(_QUICK_LOOK_PX)
    picture = np.ones((*chip.valid.shape, 4))
    for place, k in enumerate(channels):
        low, high = stretch.bands[k].quantile([0.02, 0.98])
        picture[..., place] = np.clip((chip.image[k] - low) / max(high - low, 1e-12), 0, 1)
    picture[..., 3] = chip.valid
    return picture


def _channels(scene: Scene) -> list[int]:
    names = [common_name(band) for band in scene.bands]
    if {"red", "green", "blue"} <= set(names):
        return [names.index(color) for color in ("red", "green", "blue")]
    return [0, 1, 2] if len(scene.bands) >= 3 else [0, 0, 0]


def require_picture(path: str | os.PathLike[str]) -> None:
    """Raise `OutputError` if an image cannot be written at a path, or its suffix is not an image format."""
    from matplotlib.backend_bases import FigureCanvasBase

    require_writable_folder(Path(path))
    ending = Path(path).suffix.removeprefix(".").lower()
    known = FigureCanvasBase.get_supported_filetypes()
    if ending not in known:
        raise OutputError(
            f"'{path}' cannot be drawn: its ending '{ending}' names no picture format ({', '.join(sorted(known))}). "
            "Expected a picture file such as matching.png; choose that ending."
        )


def save_matching(matching: Matching, path: ScenePath) -> None:
    """Draw a matching and save it; the file appears only when it is complete.

    Raises
    ------
    OutputError
        If the file cannot be written, or its suffix is not an image format.
    """
    require_picture(path)
    with whole_file(path) as temporary:
        draw_matching(matching).savefig(temporary, dpi=110)
