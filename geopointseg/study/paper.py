"""The report of a study: Markdown and one HTML file, with the figures beside them.

The order is that of a paper: purpose, hypotheses as they were stated before the runs, data and process, results,
outcome of each hypothesis. Numbers come from the scores and from nowhere else.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geopointseg.study.comparison import RunScore

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from geopointseg.study.factor import StudyResult
    from geopointseg.study.plan import Factor


def write_paper(result: StudyResult) -> None:
    """Write ``report.md``, ``report.html`` and ``figures/*.png`` into the study's folder."""
    figures = _write_figures(result)
    text = _compose(result, figures)
    (result.folder / "report.md").write_text(text, encoding="utf-8")
    (result.folder / "report.html").write_text(_to_html(result, figures), encoding="utf-8")


def _write_figures(result: StudyResult) -> dict[str, Path]:
    """Draw one figure for each factor with at least two levels; return caption -> file."""
    folder = result.folder / "figures"
    folder.mkdir(exist_ok=True)
    drawn: dict[str, Path] = {}
    for factor in result.plan.factors:
        if len(factor.levels) > 1:
            path = folder / f"{factor.title.replace(' ', '_')}.png"
            draw_factor(result, factor).savefig(path, dpi=120)
            drawn[f"Mean F1 by {factor.title}; each dot is one run, lines join the means."] = path
    path = folder / "classes.png"
    draw_classes(result).savefig(path, dpi=120)
    drawn["F1 by class, mean over seeds, for the best combination of levels and the baselines."] = (
        path
    )
    return drawn


def draw_factor(result: StudyResult, factor: Factor) -> Figure:
    """Draw mean F1 against the levels of one factor, a panel for each data set.

    Baselines are dashed lines at their mean.
    """
    from matplotlib.figure import Figure

    data = result.plan.data
    figure = Figure(figsize=(4.2 * len(data), 3.4), layout="constrained")
    axes = figure.subplots(1, len(data), squeeze=False)[0]
    positions = np.arange(len(factor.levels))
    for axis, source in zip(axes, data, strict=True):
        groups = [
            [100 * s.mean_f1 for s in _ours(result, source.name) if s.levels[factor.name] == level]
            for level in factor.levels
        ]
        for position, values in zip(positions, groups, strict=True):
            axis.plot(
                [position] * len(values), values, "o", color="#4477aa", alpha=0.5, markersize=4
            )
        axis.plot(positions, [np.mean(v) if v else np.nan for v in groups], "-", color="#4477aa")
        for number, baseline in enumerate(result.plan.baselines):
            score = [100 * s.mean_f1 for s in _baseline(result, source.name, baseline)]
            if score:
                color = ("#bbbbbb", "#ccbb44", "#228833", "#aa3377")[number % 4]
                axis.axhline(
                    np.mean(score), color=color, linestyle="--", linewidth=1, label=baseline
                )
        axis.set_xticks(positions, [str(level) for level in factor.levels])
        axis.set(title=source.name, xlabel=factor.title, ylabel="mean F1 (%)")
        axis.grid(axis="y", alpha=0.3)
    if axes[-1].get_legend_handles_labels()[0]:
        axes[-1].legend(fontsize=7, loc="lower right")
    return figure


def draw_classes(result: StudyResult) -> Figure:
    """Draw F1 by class for the best combination of levels and for each baseline, a panel for each data set."""
    from matplotlib.figure import Figure

    data = result.plan.data
    figure = Figure(figsize=(5.2 * len(data), 3.6), layout="constrained")
    axes = figure.subplots(1, len(data), squeeze=False)[0]
    for axis, source in zip(axes, data, strict=True):
        series = {
            name: _mean_by_class(scores) for name, scores in _columns(result, source.name).items()
        }
        classes = list(next(iter(series.values()), {}))
        width = 0.8 / max(len(series), 1)
        for number, (name, by_class) in enumerate(series.items()):
            heights = [100 * by_class[c] for c in classes]
            axis.bar(np.arange(len(classes)) + number * width, heights, width, label=name)
        axis.set_xticks(np.arange(len(classes)) + 0.4 - width / 2, classes, rotation=35, ha="right")
        axis.set(title=source.name, ylabel="F1 (%)", ylim=(0, 100))
    if axes[0].get_legend_handles_labels()[0]:
        axes[0].legend(fontsize=7)
    return figure


def _ours(result: StudyResult, data: str) -> list[RunScore]:
    return [
        s for s in result.scores if s.data == data and "baseline" not in s.levels and not s.failure
    ]


def _baseline(result: StudyResult, data: str, name: str) -> list[RunScore]:
    return [
        s
        for s in result.scores
        if s.data == data and s.levels.get("baseline") == name and not s.failure
    ]


def _columns(result: StudyResult, data: str) -> dict[str, list[RunScore]]:
    """Return the runs of the best combination of levels and of each baseline."""
    from geopointseg.study.factor import level_name

    columns: dict[str, list[RunScore]] = {}
    groups: dict[str, list[RunScore]] = {}
    for score in _ours(result, data):
        groups.setdefault(level_name(score), []).append(score)
    if groups:
        best = max(groups, key=lambda name: float(np.mean([s.mean_f1 for s in groups[name]])))
        columns[best] = groups[best]
    for baseline in result.plan.baselines:
        found = _baseline(result, data, baseline)
        if found:
            columns[baseline] = found
    return columns


def _mean_by_class(scores: Sequence[RunScore]) -> dict[str, float]:
    names = list(scores[0].class_f1 or {})
    return {name: float(np.nanmean([(s.class_f1 or {})[name] for s in scores])) for name in names}


def _compose(result: StudyResult, figures: dict[str, Path]) -> str:
    plan = result.plan
    lines = [f"# {plan.title}", "", plan.purpose, "", "## Hypotheses, stated before the runs", ""]
    lines += [f"{n}. {h.text} (`{h.factor}`: {h.better} against {h.than}, by more than {h.margin} points of mean F1)"
              for n, h in enumerate(plan.hypotheses, 1)] or ["None were stated."]  # fmt: skip
    lines += ["", "## Process", "", *_process(result), "", "## Results", ""]
    for title, headings, rows in result.tables():
        lines += [f"**{title}**", "", *_markdown_table(headings, rows), ""]
    for caption, path in figures.items():
        lines += [
            f"![{caption}]({path.relative_to(result.folder).as_posix()})",
            "",
            f"*{caption}*",
            "",
        ]
    failures = [f"- {s.data}, seed {s.seed}: {s.failure}" for s in result.scores if s.failure]
    if failures:
        lines += ["## Runs that failed", "", *failures, ""]
    return "\n".join(lines)


def _process(result: StudyResult) -> list[str]:
    plan = result.plan
    seconds = float(np.nansum([s.seconds for s in result.scores]))
    fixed = (
        ", ".join(f"`{name} = {value}`" for name, value in plan.fixed.items())
        or "all at their defaults"
    )
    lines = [
        f"- Factors: {'; '.join(f'`{f.name}` at {list(f.levels)}' for f in plan.factors)}",
        f"- Fixed: {fixed}",
        f"- Seeds: {list(plan.seeds)}; a seed draws the points, which then stay the same for all levels",
        f"- Baselines: {', '.join(plan.baselines)}",
        f"- {len(result.scores)} runs, {seconds / 60:.0f} minutes of computing in all",
    ]
    lines += [
        f"- Data `{d.name}`: trained on {', '.join(p.name for p in d.images)}; "
        f"tested on {', '.join(p.name for p in d.test_images)}"
        for d in plan.data
    ]
    return lines


def _markdown_table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = ["| " + " | ".join(headings) + " |", "|" + " --- |" * len(headings)]
    return lines + [
        "| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |" for row in rows
    ]


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ plan.title }}</title><style>
:root { color-scheme: light dark; } body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; } th, td { text-align: left; padding: .3rem .6rem;
border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent); } img { max-width: 100%; background: #fff; border-radius: 6px; }
.wide { overflow-x: auto; } figure { margin: 1.5rem 0; } figcaption { font-size: .85rem; opacity: .8; }
</style></head><body>
<h1>{{ plan.title }}</h1><p>{{ plan.purpose }}</p>
<h2>Hypotheses, stated before the runs</h2>
<ol>{% for h in plan.hypotheses %}<li>{{ h.text }} (<code>{{ h.factor }}</code>: {{ h.better }} against {{ h.than }},
by more than {{ h.margin }} points of mean F1)</li>{% else %}<li>None were stated.</li>{% endfor %}</ol>
<h2>Process</h2><ul>{% for line in process %}<li>{{ line }}</li>{% endfor %}</ul>
<h2>Results</h2>
{% for title, headings, rows in tables %}<h3>{{ title }}</h3><div class="wide"><table>
<thead><tr>{% for h in headings %}<th scope="col">{{ h }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}</tbody></table></div>{% endfor %}
{% for caption, source in figures %}<figure><img src="{{ source }}" alt="{{ caption }}"><figcaption>{{ caption }}</figcaption></figure>{% endfor %}
{% if failures %}<h2>Runs that failed</h2><ul>{% for s in failures %}<li>{{ s.data }}, seed {{ s.seed }}: {{ s.failure }}</li>{% endfor %}</ul>{% endif %}
</body></html>
"""


def _to_html(result: StudyResult, figures: dict[str, Path]) -> str:
    from jinja2 import Environment

    pictures = [
        (caption, "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode())
        for caption, path in figures.items()
    ]
    page = Environment(autoescape=True).from_string(_PAGE)
    return page.render(
        plan=result.plan,
        process=[line.removeprefix("- ").replace("`", "") for line in _process(result)],
        tables=result.tables(),
        figures=pictures,
        failures=[s for s in result.scores if s.failure],
    )
