"""Charts of a study: scores by level, scores by class, and learning curves."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.report.figure_style import ACCENT, FAINT, INK, MUTED, WARM, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from geopointseg.lab.factor_study import StudyResult
    from geopointseg.lab.study_plan import Factor

COLORS = (ACCENT, WARM, "#6b8e23", "#7b4fa3", "#b8860b", MUTED)
BASELINE_STYLES = {
    "majority": (MUTED, ":"),
    "pixel forest": (MUTED, "-."),
    "filter forest": (MUTED, "--"),
    "dense": (INK, "--"),
}
_BINS = 20


def draw_factor(result: StudyResult, factor: Factor) -> Figure:
    """Draw mean F1 against the levels of one factor, a panel for each data set.

    With two factors, each level of the other one has its own line; lines that are not parallel show an interaction.
    Dots are runs; baselines are grey lines at their mean.

    Parameters
    ----------
    result
        The scores.
    factor
        The factor on the x axis.
    """
    figure, axes = panels(len(result.plan.data), 3.6)
    positions = np.arange(len(factor.levels))
    others = [f for f in result.plan.factors if f.name != factor.name]
    other = others[0] if len(others) == 1 else None
    for axis, source in zip(axes, result.plan.data, strict=True):
        ours = result.ours(source.name)
        for number, second in enumerate(other.levels if other else ("mean of all levels",)):
            chosen = [s for s in ours if other is None or s.levels[other.name] == second]
            groups = [
                [100 * s.mean_f1 for s in chosen if s.levels[factor.name] == level]
                for level in factor.levels
            ]
            label = f"{other.title} {second}" if other else str(second)
            _draw_line(axis, positions, groups, COLORS[number % len(COLORS)], label)
        _draw_baselines(axis, result, source.name)
        axis.set_xticks(positions, [str(level) for level in factor.levels])
        axis.set_xlim(-0.4, len(positions) - 0.6)
        axis.set_title(source.name, loc="left")
        axis.set(xlabel=factor.title, ylabel="mean F1 (%)")
    _legend_below(figure, axes)
    return figure


def draw_classes(result: StudyResult) -> Figure:
    """Draw F1 by class for the best combination of levels and the baselines, a panel for each data set."""
    figure, axes = panels(len(result.plan.data), 3.8)
    for axis, source in zip(axes, result.plan.data, strict=True):
        columns = result.columns(source.name)
        classes = list(next(iter(columns.values()))[0].class_f1 or {}) if columns else []
        positions = np.arange(len(classes))
        for number, (name, scores) in enumerate(columns.items()):
            by_class = np.array(
                [[100 * (s.class_f1 or {}).get(c, np.nan) for c in classes] for s in scores]
            )
            shift = (number - (len(columns) - 1) / 2) * 0.13
            marker, color = "osD^v"[number % 5], (ACCENT, MUTED, WARM, "#6b8e23", INK)[number % 5]
            label = "best combination of levels" if number == 0 else name.split(",")[0]
            axis.plot(
                positions + shift, by_class.mean(axis=0), marker, color=color, markersize=5, label=label
            )  # fmt: skip
        axis.set_xticks(positions, classes, rotation=35, ha="right")
        axis.set_title(source.name, loc="left")
        axis.set(ylabel="F1 (%)", ylim=(-3, 103))
    _legend_below(figure, axes)
    return figure


def draw_curves(result: StudyResult, factor: Factor) -> Figure:
    """Draw the loss on points and the score on held-out points against the step, by level of a factor.

    Curves are means over seeds and the levels of other factors.

    Parameters
    ----------
    result
        The scores; the folder holds ``runs/KEY/metrics.csv``.
    factor
        The factor whose levels have a curve each.
    """
    quantities = {"points": "loss on points", "held_out_mean_f1": "held-out mean F1"}
    figure, axes = panels(len(result.plan.data), 5.2, rows=2)
    for column, source in enumerate(result.plan.data):
        for row, (name, title) in enumerate(quantities.items()):
            axis = axes[row * len(result.plan.data) + column]
            for number, level in enumerate(factor.levels):
                chosen = [s for s in result.ours(source.name) if s.levels[factor.name] == level]
                curves = [read_curve(result.folder / "runs" / s.key, name) for s in chosen]
                x, y = mean_curve([curve for curve in curves if len(curve[0])])
                color = COLORS[number % len(COLORS)]
                axis.plot(x, y, color=color, marker="." if row else "", label=str(level))
            axis.set(ylabel=title, xlabel="step" if row else "")
            if row == 0:
                axis.set_yscale("log")
                axis.set_title(source.name, loc="left")
    _legend_below(figure, axes, title=factor.title)
    return figure


def read_curve(folder: Path, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read one column of the ``metrics.csv`` of a run: steps and values; empty where there is none."""
    path = folder / "metrics.csv"
    if not path.exists():
        return np.empty(0), np.empty(0)
    with path.open(newline="", encoding="utf-8") as file:
        pairs = [(float(r["step"]), float(r[name])) for r in csv.DictReader(file) if r.get(name)]
    steps, values = np.array(pairs).reshape(-1, 2).T
    return steps, values


def mean_curve(
    curves: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of several curves; long ones are averaged in 20 bins of steps."""
    if not curves:
        return np.empty(0), np.empty(0)
    steps, values = (np.concatenate(parts) for parts in zip(*curves, strict=True))
    edges = np.unique(steps)
    if len(edges) > _BINS:
        edges = np.linspace(edges[0], edges[-1], _BINS, endpoint=False)
    place = np.searchsorted(edges, steps, side="right") - 1
    found = np.unique(place)
    mean = [[steps[place == p].mean(), values[place == p].mean()] for p in found]
    x, y = np.array(mean).T
    return x, y


def panels(columns: int, height_in: float, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels side by side, in the common style of the charts.

    Parameters
    ----------
    columns
        Number of panels in a row.
    height_in
        Height of the figure in inches.
    rows
        Number of rows.

    Returns
    -------
    figure : Figure
        The figure.
    axes : list of Axes
        Its panels, row by row.
    """
    figure = new_figure(6.0 if columns == 1 else 4.4 * columns, height_in)
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color=FAINT)
        axis.set_axisbelow(True)
    return figure, axes


def _draw_line(
    axis: Axes, positions: NDArray[Any], groups: Sequence[Sequence[float]], color: str, label: str
) -> None:
    means = [np.mean(values) if values else np.nan for values in groups]
    axis.plot(positions, means, "-", color=color, linewidth=1.8, label=label)
    for position, values in zip(positions, groups, strict=True):
        axis.plot([position] * len(values), values, "o", color=color, alpha=0.5, markersize=4)


def _draw_baselines(axis: Axes, result: StudyResult, data: str) -> None:
    for name in result.plan.baselines:
        scores = [100 * s.mean_f1 for s in result.baseline(data, name)]
        if scores:
            color, style = BASELINE_STYLES[name]
            axis.axhline(float(np.mean(scores)), color=color, linestyle=style, linewidth=1.1, label=name)  # fmt: skip


def _legend_below(figure: Figure, axes: Sequence[Axes], title: str = "") -> None:
    named: Mapping[str, Any] = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    if named:
        figure.legend(
            list(named.values()), list(named), loc="outside lower center", frameon=False,
            ncols=min(len(named), 4), fontsize=9, title=title or None,
        )  # fmt: skip
