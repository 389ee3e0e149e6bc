"""Reports as one self-contained HTML file."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geopointseg.assessment.assessment_result import SAMPLING_NOTES, Assessment
from geopointseg.errors import InputFileError
from geopointseg.labels.points import Points
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.publishing import require_ending, whole_file
from geopointseg.raster.scene import Scene
from geopointseg.report import figures
from geopointseg.report.explanation import explain, headline_tiles
from geopointseg.report.provenance import ModelProvenance
from geopointseg.report.section import DataTable, Document, Illustration, Section

TEMPLATE = "document.html.jinja"

_TERMS = (
    (
        "User's accuracy: share of the places mapped as a class that belong to it in the reference. Low values mean that the "
        "map shows the class where it is not (also called precision; 1 minus it is the commission error)."
    ),
    (
        "Producer's accuracy: share of the places of a class in the reference that the map shows as this class. Low values "
        "mean that the map omits the class (also called recall; 1 minus it is the omission error)."
    ),
    (
        "F1: harmonic mean of both, between 0 and 1 (also called Dice). IoU: intersection of map and reference divided by "
        "their union; never larger than F1."
    ),
    (
        "Point counts give every test point the same weight. Area-adjusted figures weight each map class by its area (Olofsson et "
        "al. 2014, doi:10.1016/j.rse.2014.02.015; Stehman 2014, doi:10.1080/01431161.2014.930207)."
    ),
    "95 % interval: if the sampling were repeated many times, 95 of 100 such intervals would contain the true value.",
)


def write_report(
    assessment: Assessment,
    path: str | os.PathLike[str],
    *,
    scene: Scene | None = None,
    training_points: Points | None = None,
    model: str | os.PathLike[str] | None = None,
    extra: Sequence[Section] = (),
    figure_folder: str | os.PathLike[str] | None = None,
) -> Path:
    """Write an assessment as an HTML report.

    Parameters
    ----------
    assessment
        The result of the assessment.
    path
        The HTML file.
    scene, training_points
        Scene and training points to show with the map.
    model
        Model folder, for learning curves, calibration and provenance.
    extra
        Further sections, for example on cross-validation or applicability.
    figure_folder
        Folder for each figure as PNG and SVG; created if it does not exist.

    Returns
    -------
    Path
        Path of the report.

    Raises
    ------
    OutputError
        If the report cannot be written.
    InputFileError
        If the model folder cannot be read.
    """
    provenance = None if model is None else ModelProvenance.read(Path(model))
    name = Path(assessment.map_path).name
    sections = [
        _meaning_section(assessment),
        *_map_sections(assessment, scene, training_points),
        _class_section(assessment),
        _confusion_section(assessment),
        _area_section(assessment),
        *_model_sections(provenance),
        *extra,
        _provenance_section(assessment, provenance),
        Section("Terms", points=_TERMS),
    ]
    subtitle = f"compared with {Path(assessment.reference).name or 'test points'}"
    document = Document(f"Accuracy of {name}", subtitle, headline_tiles(assessment), sections)
    return write_document(document, path, figure_folder=figure_folder)


def write_document(
    document: Document,
    path: str | os.PathLike[str],
    *,
    figure_folder: str | os.PathLike[str] | None = None,
) -> Path:
    """Write a report as one HTML file, for light and dark screens, print and screen readers.

    Parameters
    ----------
    document
        The report.
    path
        The HTML file; replaced if it exists.
    figure_folder
        Folder for each figure as PNG and SVG.

    Returns
    -------
    Path
        Path of the report.

    Raises
    ------
    OutputError
        If the report cannot be written.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("geopointseg.report", "."),
        autoescape=True,
        finalize=_keep_percent_together,
    )
    made_on = dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d")
    text = environment.get_template(TEMPLATE).render(document=document, made_on=made_on)
    path = Path(path)
    require_ending(path, "HTML")
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    if figure_folder is not None:
        _save_figures(document, Path(figure_folder))
    return path


def _keep_percent_together(value: Any) -> Any:
    """Replace the space between a number and its percent sign by a no-break space."""
    return value.replace(" %", "\N{NO-BREAK SPACE}%") if isinstance(value, str) else value


def _save_figures(document: Document, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for section in document.sections:
        for illustration in section.illustrations:
            for ending in ("png", "svg"):
                with whole_file(folder / f"{illustration.name}.{ending}") as temporary:
                    illustration.figure.savefig(temporary, dpi=150, format=ending)


def _meaning_section(assessment: Assessment) -> Section:
    warnings = list(assessment.warnings)
    if assessment.sampling == "unknown":
        warnings.insert(0, SAMPLING_NOTES["unknown"])
    points = explain(assessment)
    if assessment.training_check:
        points = [*points, assessment.training_check]
    return Section("What this means", points=points, warnings=warnings)


def _map_sections(
    assessment: Assessment, scene: Scene | None, training_points: Points | None
) -> list[Section]:
    illustrations = []
    try:
        class_map = ClassMap.open(assessment.map_path, assessment.legend)
    except InputFileError:
        class_map = None  # the map was moved; the scores are still valid
    if class_map is not None:
        wrong = _count_points(assessment)
        classes = ", ".join(class_map.legend.names)
        illustrations.append(
            Illustration(
                "map", figures.draw_map(class_map, assessment),
                f"The class map in its colours ({classes}).{wrong}",
                "The map." + wrong, is_picture=True, legend=class_map.legend,
            )
        )  # fmt: skip
    if scene is not None:
        illustrations.append(
            Illustration(
                "scene", figures.draw_scene(scene, training_points),
                "The image that the map was predicted from, with the training points where given.",
                "The scene" + (" and the training points." if training_points is not None else "."),
                is_picture=True,
            )
        )  # fmt: skip
    return [Section("Map", illustrations=illustrations)] if illustrations else []


def _count_points(assessment: Assessment) -> str:
    if assessment.pixels is None:
        return ""
    wrong = int((assessment.pixels.mapped != assessment.pixels.reference).sum())
    right = assessment.confusion.total - wrong
    return f" Black dots: {right:,} test points where the map is right. Red crosses: {wrong:,} where it is wrong."


def _class_section(assessment: Assessment) -> Section:
    tables = [
        DataTable(title, headings, rows, shares=_share_columns(headings))
        for title, headings, rows in assessment.tables()
        if "counts" in title or "Area-adjusted" in title
    ]
    chart = Illustration(
        "class_scores", figures.draw_class_scores(assessment),
        "User's and producer's accuracy of each class; the table below holds the same numbers.",
        _chart_caption(assessment),
    )  # fmt: skip
    return Section("Accuracy by class", illustrations=[chart], tables=tables)


def _chart_caption(assessment: Assessment) -> str:
    if assessment.estimates is None or assessment.sampling == "raster":
        return "From counts."
    confidence = round(100 * assessment.estimates.confidence)
    return f"Area-adjusted, with {confidence} % intervals."


def _share_columns(headings: Sequence[str]) -> list[int]:
    shares = ("user's acc.", "producer's acc.", "from", "to")
    return [position for position, heading in enumerate(headings) if heading in shares]


def _confusion_section(assessment: Assessment) -> Section:
    _, headings, rows = next(t for t in assessment.tables() if t[0].startswith("Confusion"))
    table = DataTable("Confusion matrix, rows = map, columns = reference", headings, rows)
    chart = Illustration(
        "confusion", figures.draw_confusion(assessment.confusion),
        "Confusion matrix; rows are classes of the map, columns classes of the reference. The table below holds the "
        "same numbers.",
        "Rows: map. Columns: reference. The darker the cell, the larger its share of the reference class.",
    )  # fmt: skip
    return Section("Confusion matrix", illustrations=[chart], tables=[table], folded=True)


def _area_section(assessment: Assessment) -> Section:
    title, headings, rows = next(t for t in assessment.tables() if t[0].startswith("Area by"))
    chart = Illustration(
        "areas", figures.draw_areas(assessment),
        "Area of each class as mapped and as estimated on the ground; the table below holds the same numbers.",
    )  # fmt: skip
    sentence = (
        "Areas from pixel counts are biased, because errors of the map do not cancel. The estimate corrects them by the "
        "errors at the test points."
    )
    sentences = [sentence] if assessment.sampling != "raster" else []
    if assessment.area_note is not None:
        sentences.append(assessment.area_note.sentence)
    return Section("Area of each class", sentences, illustrations=[chart],
                   tables=[DataTable(title, headings, rows)])  # fmt: skip


def _model_sections(provenance: ModelProvenance | None) -> list[Section]:
    if provenance is None:
        return []
    sections = []
    if provenance.reliability is not None or provenance.calibration_reason:
        charts = []
        if provenance.reliability is not None:
            before, after = provenance.reliability
            drawn = figures.draw_reliability(before, None if after.ece == before.ece else after)
            charts = [
                Illustration("reliability", drawn, "Accuracy of the model against its confidence.")
            ]  # fmt: skip
        sections.append(
            Section("Reliability of probabilities", [provenance.calibration_reason],
                    illustrations=charts)
        )  # fmt: skip
    if provenance.curves:
        chart = Illustration(
            "training",
            figures.draw_training(provenance.curves),
            "Curves of the training run, by step.",
        )
        sections.append(Section("Training", illustrations=[chart]))
    return sections


def _provenance_section(assessment: Assessment, provenance: ModelProvenance | None) -> Section:
    from geopointseg import __version__

    rows = [
        ("map", assessment.map_path),
        ("reference", assessment.reference),
        ("sampling design", assessment.sampling),
        ("model fingerprint", assessment.fingerprint or "not in the map's tags"),
        *([("embedding", assessment.attribution)] if assessment.attribution else []),
        ("geopointseg", __version__),
        *(provenance.facts() if provenance else []),
    ]
    return Section("Provenance", tables=[DataTable("Provenance", ["property", "value"], rows)])
