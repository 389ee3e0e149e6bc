"""The report of a study: Markdown and HTML, with figures.

Sections are: purpose, hypotheses as stated before the runs, process, results, squares with most errors, failed runs.
All numbers are computed from the scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geopointseg.assessment.confusion import ConfusionMatrix
from geopointseg.lab.chart import draw_classes, draw_curves, draw_factor
from geopointseg.lab.comparison import RunScore, compare_levels
from geopointseg.lab.gallery import draw_failures, draw_maps
from geopointseg.legend import Legend
from geopointseg.raster.publishing import whole_file
from geopointseg.report.document import write_document
from geopointseg.report.section import DataTable, Document, Illustration, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from geopointseg.lab.factor_study import StudyResult

CHART_DPI, PICTURE_DPI = 120, 100


def write_study_report(result: StudyResult) -> None:
    """Write ``report.md``, ``report.html`` and ``figures/*`` into the study's folder."""
    document = compose(result)
    write_document(document, result.folder / "report.html")
    folder = result.folder / "figures"
    folder.mkdir(exist_ok=True)
    for section in document.sections:
        for illustration in section.illustrations:
            dpi = PICTURE_DPI if illustration.is_picture else CHART_DPI
            with whole_file(folder / _file_name(illustration)) as temporary:
                illustration.figure.savefig(temporary, dpi=dpi)
    with whole_file(result.folder / "report.md") as temporary:
        temporary.write_text(to_markdown(document), encoding="utf-8")


def _file_name(illustration: Illustration) -> str:
    """Return the file name of a figure: PNG for charts, JPEG for pictures."""
    return f"{illustration.name}.{'jpg' if illustration.is_picture else 'png'}"


def compose(result: StudyResult) -> Document:
    """Return the report of a study."""
    plan = result.plan
    stated = [
        f"{h.text} ({h.factor}: {h.better} against {h.than}, by more than {h.margin:g} points of mean F1)"
        for h in plan.hypotheses
    ]
    sections = [
        Section("Purpose", [plan.purpose] if plan.purpose else []),
        Section("Hypotheses, stated before the runs", points=stated or ["None were stated."]),
        Section("Process", points=_process(result)),
        Section("Results", illustrations=list(_factor_charts(result)), tables=_tables(result)),
        Section("Scores per class", illustrations=[_class_chart(result)], tables=_class_tables(result)),
        Section("Learning curves", illustrations=list(_curve_charts(result))),
        Section("Maps", illustrations=list(_pictures(result))),
        Section("Runs that failed", points=list(_failures(result))),
    ]  # fmt: skip
    kept = [s for s in sections if s.sentences or s.points or s.illustrations or s.tables]
    names = ", ".join(data.name for data in plan.data)
    return Document(plan.title, f"{len(result.scores)} runs on {names}", sections=kept)


def _process(result: StudyResult) -> list[str]:
    plan = result.plan
    cpu = float(np.nansum([s.cpu_seconds for s in result.scores]))
    fixed = ", ".join(f"{name} = {value}" for name, value in plan.fixed.items())
    lines = [f"Factor {f.name}: {', '.join(str(level) for level in f.levels)}." for f in plan.factors]  # fmt: skip
    for factor in plan.factors:
        lines += [
            f"Level '{level}': {', '.join(f'{k} = {v}' for k, v in values.items())}."
            for level, values in factor.settings.items()
        ]
    return [
        *lines,
        f"Fixed: {fixed or 'all settings at their defaults'}.",
        f"Seeds: {', '.join(map(str, plan.seeds))}. A seed determines points and starting weights; all levels share them.",
        f"Baselines: {', '.join(plan.baselines) or 'none'}.",
        f"{len(result.scores)} runs, {cpu / 60:.1f} minutes of one CPU core in total.",
        *(_data_line(result, data.name) for data in plan.data),
    ]


def _data_line(result: StudyResult, name: str) -> str:
    data = result.plan.data_named(name)
    parts = [
        f"{', '.join(path.name for path in paths)}" + ("" if part == "all" else f" ({part})")
        for paths, part in ((data.images, data.part), (data.test_images, data.test_part))
    ]
    return f"Data {name}: trained on {parts[0]}; tested on {parts[1]}."


def _tables(result: StudyResult) -> list[DataTable]:
    tables = [DataTable(title, headings, rows) for title, headings, rows in result.tables()]
    return [*tables, _comparison_table(result)]


def _comparison_table(result: StudyResult) -> DataTable:
    """Return the differences between consecutive levels, over all data sets and for each."""
    rows = []
    for factor in result.plan.factors:
        for than, better in zip(factor.levels, factor.levels[1:], strict=False):
            cells = [compare_levels(result.scores, factor.name, better, than).phrase]
            for data in result.plan.data:
                own = [s for s in result.scores if s.data == data.name]
                cells.append(compare_levels(own, factor.name, better, than).phrase)
            rows.append((f"{factor.title}: {better} against {than}", *cells))
    headings = ["levels", "all data", *(data.name for data in result.plan.data)]
    title = (
        "Differences in points of mean F1, paired by data set and seed [95 % interval], and pairs"
    )
    return DataTable(title, headings, rows)


def _class_tables(result: StudyResult) -> list[DataTable]:
    """Return the scores per class, all seeds pooled, of the best combination of levels on each data set."""
    tables = []
    for data in result.plan.data:
        columns = result.columns(data.name)
        best = next(iter(columns), None)
        if best is None or columns[best][0].confusion is None:
            continue
        matrices = {name: pool(scores) for name, scores in columns.items()}
        rows = []
        for row in matrices[best].table():
            shown = [row["class"], row["reference"] / max(matrices[best].total, 1)]
            shown += [row[k] for k in ("users_accuracy", "producers_accuracy", "iou", "f1")]
            position = matrices[best].legend.names.index(row["class"]) if row["code"] is not None else None  # fmt: skip
            for matrix in list(matrices.values())[1:]:
                shown.append(matrix.mean("f1") if position is None else matrix.f1[position])
            rows.append(shown)
        headings = ["class", "share of test pixels", "precision", "recall", "IoU", "F1"]
        headings += [f"F1 {name.split(',')[0]}" for name in list(matrices)[1:]]
        title = f"{data.name}: {best}"
        tables.append(DataTable(title, headings, rows, shares=range(1, len(headings))))
    return tables


def pool(scores: Sequence[RunScore]) -> ConfusionMatrix:
    """Return the sum of the confusion matrices of several runs."""
    names = list(scores[0].class_f1 or {})
    counts = np.sum([s.confusion for s in scores if s.confusion is not None], axis=0)
    return ConfusionMatrix(counts, Legend.from_names(names))


def _factor_charts(result: StudyResult) -> Iterator[Illustration]:
    for factor in result.plan.factors:
        if len(factor.levels) > 1:
            caption = f"Mean F1 by {factor.title}. Each dot is one run, lines join the means."
            yield _illustration(f"by_{factor.title}", draw_factor(result, factor), caption)


def _class_chart(result: StudyResult) -> Illustration:
    caption = "F1 by class, mean over seeds, of the best combination of levels and the baselines."
    return _illustration("classes", draw_classes(result), caption)


def _curve_charts(result: StudyResult) -> Iterator[Illustration]:
    if any(s.steps for s in result.scores):
        for factor in result.plan.factors:
            caption = f"Learning curves by {factor.title}, means over seeds and the other levels."
            yield _illustration(f"curves_{factor.title}", draw_curves(result, factor), caption)


def _pictures(result: StudyResult) -> Iterator[Illustration]:
    for data in result.plan.data:
        maps = draw_maps(result, data)
        if maps is not None:
            caption = f"{data.name}: test images, reference, and the maps of the first seed."
            yield _illustration(f"maps_{data.name}", maps, caption, is_picture=True)
        failures = draw_failures(result, data)
        if failures is not None:
            caption = f"{data.name}: squares with most errors of the best combination of levels; wrong pixels in red."
            yield _illustration(f"failures_{data.name}", failures, caption, is_picture=True)


def _illustration(
    name: str, figure: Figure, caption: str, *, is_picture: bool = False
) -> Illustration:
    plain = "".join(c if c.isalnum() else "_" for c in name)
    return Illustration(plain, figure, caption, caption, is_picture=is_picture)


def _failures(result: StudyResult) -> Iterator[str]:
    for score in result.scores:
        if score.failure:
            yield f"{score.data}, seed {score.seed}: {score.failure}"


def to_markdown(document: Document) -> str:
    """Return a report as Markdown; figures are linked as ``figures/NAME``."""
    lines = [f"# {document.title}", "", f"{document.subtitle}.", ""]
    for section in document.sections:
        lines += [f"## {section.title}", ""]
        for sentence in section.sentences:
            lines += [sentence, ""]
        lines += [*(f"- {point}" for point in section.points), ""] if section.points else []
        for table in section.tables:
            lines += [f"**{table.title}**", "", *_table_lines(table), ""]
        for picture in section.illustrations:
            path = Path("figures") / _file_name(picture)
            lines += [f"![{picture.description}]({path.as_posix()})", "", f"*{picture.caption}*", ""]  # fmt: skip
    return "\n".join(lines)


def _table_lines(table: DataTable) -> list[str]:
    def line(cells: Sequence[Any]) -> str:
        return "| " + " | ".join(str(c).replace("|", "/") for c in cells) + " |"

    aligned = ["---:" if is_number else "---" for _, is_number in table.cells[0]] if table.rows else ["---"] * len(table.headings)  # fmt: skip
    rows = [line([text for text, _ in row]) for row in table.cells]
    return [line(table.headings), "| " + " | ".join(aligned) + " |", *rows]
