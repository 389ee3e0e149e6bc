"""Figures of reports; every function returns a `Figure`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.assessment.assessment_result import Assessment
from geopointseg.assessment.calibration import Reliability
from geopointseg.assessment.confusion import ConfusionMatrix
from geopointseg.assessment.estimation import Estimate
from geopointseg.labels.points import Points
from geopointseg.legend import Legend
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.scene import Scene
from geopointseg.report.figure_style import ACCENT, INK, MUTED, WARM, WIDTH_IN, new_figure, styled
from geopointseg.report.picture import picture_map, picture_scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def draw_overview(
    scene: Scene,
    points: Points,
    maps: Mapping[str, ClassMap],
    truth: ClassMap | None,
    scores: Mapping[str, ConfusionMatrix],
) -> Figure:
    """Draw scene with points, maps and reference side by side with one legend.

    Parameters
    ----------
    scene
        The image, shown in natural colours where the bands are known.
    points
        Training points, drawn on the scene in the colours of the legend.
    maps
        Maps by title.
    truth
        The reference map; None where there is none.
    scores
        Confusion matrices by title of the map; their mean F1 is shown above the map.

    Returns
    -------
    Figure
        The figure.
    """
    panels: list[tuple[str, str, Any]] = [("Scene and points", f"{len(points)} points", None)]
    for name, class_map in maps.items():
        matrix = scores.get(name)
        score = f"mean F1 {matrix.mean('f1'):.3f}" if matrix is not None else ""
        panels.append((f"Map: {name}", score, picture_map(class_map)))
    if truth is not None:
        panels.append(("Truth", "", picture_map(truth)))
    height, width = scene.grid.shape
    columns = 2 if len(panels) == 4 and width > 1.15 * height else min(len(panels), 4)
    figure, axes = _panel_grid(len(panels), columns, height / width)
    for axis, (title, note, picture) in zip(axes, panels, strict=True):
        shown = picture_scene(scene) if picture is None else picture
        axis.imshow(shown, extent=(0, width, height, 0), interpolation="nearest")
        _name_panel(axis, title, note)
    _scatter_points(axes[0], points, scene)
    legend = next(iter(maps.values())).legend if maps else points.legend
    _legend_below(figure, legend)
    return figure


@styled
def draw_map(class_map: ClassMap, assessment: Assessment | None = None) -> Figure:
    """Draw a map in its colours and, where given, its test points: right ones as dots, wrong ones as crosses."""
    height, width = class_map.grid.shape
    figure, axis = _picture_frame(height / width)
    axis.imshow(picture_map(class_map), extent=(0, width, height, 0), interpolation="nearest")
    pixels = assessment.pixels if assessment is not None else None
    if pixels is not None:
        wrong = pixels.mapped != pixels.reference
        style: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.7}
        x, y = pixels.col + 0.5, pixels.row + 0.5
        axis.scatter(x[~wrong], y[~wrong], s=16, color="#111111", **style)
        axis.scatter(x[wrong], y[wrong], s=44, marker="X", color="#e0003c", **style)
    return figure


@styled
def draw_scene(scene: Scene, points: Points | None = None) -> Figure:
    """Draw a scene in natural colours and, where given, points in the colours of their legend."""
    height, width = scene.grid.shape
    figure, axis = _picture_frame(height / width)
    axis.imshow(picture_scene(scene), extent=(0, width, height, 0), interpolation="nearest")
    if points is not None:
        _scatter_points(axis, points, scene)
    return figure


@styled
def draw_confusion(matrix: ConfusionMatrix) -> Figure:
    """Draw the confusion matrix: counts, shaded by their share of the reference class (the column)."""
    size = len(matrix.legend)
    columns = np.maximum(matrix.reference_totals, 1)
    figure = new_figure(max(2.0 + 0.48 * size, 3.6), 1.6 + 0.42 * size)
    axis = figure.add_subplot()
    for row in range(size):
        for col in range(size):
            count = int(matrix.counts[row, col])
            share = count / columns[col]
            color = ACCENT if row == col else WARM
            axis.add_patch(_cell(row, col, color, share))
            dark = share > 0.55
            axis.text(
                col, row, f"{count:,}" if count else "·", ha="center", va="center",
                color="white" if dark else (INK if count else MUTED), fontsize=9 if count < 1e5 else 6.5,
            )  # fmt: skip
    axis.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
    axis.set_xticks(
        range(size), matrix.legend.names, rotation=35, ha="left", rotation_mode="anchor"
    )
    axis.set_yticks(range(size), matrix.legend.names)
    axis.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    axis.set_ylabel("map (rows)")
    axis.set_xlabel("reference (columns)", labelpad=8)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return figure


@styled
def draw_class_scores(assessment: Assessment) -> Figure:
    """Draw user's and producer's accuracy of each class, with confidence intervals where they were estimated."""
    matrix, legend = assessment.confusion, assessment.legend
    estimates = assessment.estimates
    users: Sequence[Estimate | float] = matrix.users_accuracy.tolist()
    producers: Sequence[Estimate | float] = matrix.producers_accuracy.tolist()
    if estimates is not None and assessment.sampling != "raster":
        users, producers = estimates.users, estimates.producers
    figure = new_figure(WIDTH_IN, 1.4 + 0.46 * len(legend))
    axis = figure.add_subplot()
    positions = np.arange(len(legend))
    for values, offset, color, marker, label in (
        (users, -0.15, ACCENT, "o", "user's accuracy (precision)"),
        (producers, 0.15, WARM, "D", "producer's accuracy (recall)"),
    ):
        _whiskers(axis, values, positions + offset, color, marker, label)
    _class_axis(axis, legend)
    axis.set(xlim=(-0.02, 1.02), xlabel="accuracy")
    axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    return figure


@styled
def draw_areas(assessment: Assessment) -> Figure:
    """Draw the mapped area of each class and, where known, the estimated area with its confidence interval."""
    areas = list(assessment.class_areas.values())
    figure = new_figure(WIDTH_IN, 1.2 + 0.42 * len(areas))
    axis = figure.add_subplot()
    positions = np.arange(len(areas))
    colors = assessment.legend.colors
    axis.barh(positions - 0.13, [a.mapped_ha for a in areas], 0.4, color=colors, label="as mapped")
    ground = [Estimate(a.estimated_ha, a.standard_error_ha, a.low_ha, a.high_ha) for a in areas]
    if any(math.isfinite(estimate.value) for estimate in ground):
        is_counted = assessment.sampling == "raster"
        label = "in the reference" if is_counted else "estimated, with interval"
        _whiskers(axis, ground, positions + 0.26, INK, "o", label)
    _class_axis(axis, assessment.legend)
    axis.set_xlabel("hectares")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.2)
    return figure


@styled
def draw_reliability(before: Reliability, after: Reliability | None = None) -> Figure:
    """Draw a reliability diagram: accuracy against confidence, before and after calibration."""
    figure = new_figure(WIDTH_IN, 5.4)
    axis = figure.add_subplot()
    axis.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", label="perfect calibration")
    both = [(before, WARM, "o", "without calibration")]
    if after is not None:
        both = [(before, WARM, "o", "before calibration"), (after, ACCENT, "D", "after")]
    for measured, color, marker, label in both:
        used = measured.count > 0
        x, y = measured.confidence[used], measured.accuracy[used]
        spread = np.maximum([y - measured.low[used], measured.high[used] - y], 0)
        axis.errorbar(
            x, y, spread, color=color, marker=marker, markersize=5, linewidth=1.4, elinewidth=0.8,
            label=f"{label}: calibration error {measured.ece:.3f}",
        )  # fmt: skip
    axis.set(xlim=(0, 1.01), ylim=(0, 1.01), aspect="equal", xlabel="confidence", ylabel="accuracy")  # fmt: skip
    axis.grid(visible=True)
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    return figure


@styled
def draw_learning_curve(
    points_per_class: Sequence[float],
    curves: Mapping[str, Sequence[Sequence[float]]],
    *,
    score: str = "mean F1 on held-out blocks",
) -> Figure:
    """Draw scores against the number of training points.

    Parameters
    ----------
    points_per_class
        Training points per class, ascending.
    curves
        By name of the model, the scores of repeated runs at each number of points.
    score
        Name of the score.

    Returns
    -------
    Figure
        The figure.
    """
    figure = new_figure(WIDTH_IN, 3.8)
    axis = figure.add_subplot()
    colors = [ACCENT, WARM, "#6b8e23", MUTED, "#7b4fa3"]
    x = np.asarray(points_per_class, dtype=np.float64)
    for (name, runs), color in zip(curves.items(), colors * 9, strict=False):
        middle = np.array([np.mean(values) for values in runs])
        low, high = (np.array([limit(values) for values in runs]) for limit in (np.min, np.max))
        axis.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        axis.plot(x, middle, color=color, marker="o", markersize=5, linewidth=1.8, label=name)
    axis.set_xscale("log", base=2)
    axis.set_xticks(x, [f"{value:g}" for value in x])
    axis.minorticks_off()
    axis.set(xlabel="training points per class", ylabel=score)
    axis.grid(visible=True)
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, borderaxespad=0.2)
    return figure


@styled
def draw_training(history: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """Draw the curves of a training run, one below the other.

    Parameters
    ----------
    history
        By name of the quantity, steps and values.
    """
    count = max(1, len(history))
    figure = new_figure(WIDTH_IN, 0.8 + 1.5 * count)
    axes = np.atleast_1d(figure.subplots(count, 1, sharex=True))
    for axis, (name, (steps, values)) in zip(axes, history.items(), strict=False):
        axis.plot(steps, values, color=ACCENT, linewidth=1.4, marker="." if len(steps) < 40 else "")
        axis.set_title(name, fontsize=10)
        axis.grid(visible=True)
    axes[-1].set_xlabel("training step")
    return figure


@styled
def draw_cross_validation(
    scores: Mapping[str, Sequence[tuple[float, float, float]]], names: Sequence[str], score: str
) -> Figure:
    """Draw a score with its confidence interval for each class and method.

    Parameters
    ----------
    scores
        By method, ``(value, low, high)`` for each of ``names``.
    names
        Classes, and further rows such as the mean.
    score
        Name of the score.

    Returns
    -------
    Figure
        The figure.
    """
    figure = new_figure(WIDTH_IN, 1.4 + 0.15 * len(names) * (1 + len(scores)))
    axis = figure.add_subplot()
    markers, colors = ["o", "D", "s", "^", "v"], [ACCENT, WARM, "#6b8e23", MUTED, "#7b4fa3"]
    positions = np.arange(len(names))
    offsets = np.linspace(-0.28, 0.28, len(scores)) if len(scores) > 1 else np.zeros(1)
    for place, (method, values) in enumerate(scores.items()):
        intervals = [Estimate(v, float("nan"), low, high) for v, low, high in values]
        color, marker = colors[place % 5], markers[place % 5]
        _whiskers(axis, intervals, positions + offsets[place], color, marker, method)
    axis.set_yticks(positions, list(names))
    axis.set(ylim=(len(names) - 0.5, -0.5), xlim=(-0.02, 1.02), xlabel=score)
    axis.tick_params(axis="y", length=0)
    axis.grid(visible=True, axis="x")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.2)
    return figure


def _panel_grid(
    count: int, columns: int, aspect: float, width_in: float = 14.0
) -> tuple[Figure, list[Axes]]:
    rows = -(-count // columns)
    panel = width_in / max(columns, 2 if count > 1 else 1)
    figure = new_figure(panel * columns, (panel * aspect + 0.35) * rows + 0.45)
    axes = [figure.add_subplot(rows, columns, position + 1) for position in range(count)]
    for axis in axes:
        _strip_frame(axis)
    return figure, axes


def _picture_frame(aspect: float) -> tuple[Figure, Axes]:
    """Return a figure whose axes fill it."""
    width = 7.5 / max(1.0, aspect / 1.3)
    figure = new_figure(width, width * aspect)
    figure.set_layout_engine("none")
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    _strip_frame(axis)
    return figure, axis


def _strip_frame(axis: Axes) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)


def _name_panel(axis: Axes, title: str, note: str) -> None:
    axis.set_title(title, loc="left")
    if note:
        axis.set_title(note, loc="right", fontweight="normal", color=MUTED, fontsize=10)


def _scatter_points(axis: Axes, points: Points, scene: Scene) -> None:
    moved = points.to_crs(scene.grid.crs)
    row, col = scene.grid.world_to_pixel(moved.x, moved.y)
    height, width = scene.grid.shape
    inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
    colors = np.array(points.legend.colors)[points.class_index[inside]]
    size = float(np.clip(9000 / max(len(points), 1), 7, 42))
    axis.scatter(
        col[inside], row[inside], s=size, c=colors, edgecolors="white", linewidths=0.7, clip_on=True
    )
    axis.set(xlim=(0, width), ylim=(height, 0))


def _legend_below(figure: Figure, legend: Legend) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=e.color, edgecolor=MUTED, linewidth=0.4) for e in legend.entries]
    figure.legend(handles, legend.names, loc="outside lower center", ncols=min(len(legend), 8))


def _cell(row: int, col: int, color: str, share: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(
        (col - 0.48, row - 0.48), 0.96, 0.96, facecolor=color, alpha=0.04 + 0.96 * share**0.7,
        linewidth=0,
    )  # fmt: skip


def _whiskers(
    axis: Axes,
    values: Sequence[Estimate | float],
    positions: NDArray[Any],
    color: str,
    marker: str,
    label: str,
) -> None:
    """Draw values as markers with their intervals; NaN is left out."""
    shown = [
        (v.value, v.low, v.high) if isinstance(v, Estimate) else (v, float("nan"), float("nan"))
        for v in values
    ]
    value, low, high = np.array(shown).reshape(-1, 3).T
    spread = np.nan_to_num(np.maximum([value - low, high - value], 0))
    known = np.isfinite(value)
    axis.errorbar(
        value[known], positions[known], xerr=spread[:, known], linestyle="none", color=color,
        marker=marker, markersize=5.5, elinewidth=1.4, label=label,
    )  # fmt: skip


def _class_axis(axis: Axes, legend: Legend) -> None:
    positions = np.arange(len(legend))
    axis.set_yticks(positions, legend.names)
    axis.set_ylim(len(legend) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.grid(visible=True, axis="x")
    axis.set_axisbelow(True)
