"""The report of a cross-validation."""

from __future__ import annotations

import os
from pathlib import Path

from geopointseg.report.document import write_document
from geopointseg.report.figures import draw_confusion, draw_cross_validation, draw_learning_curve
from geopointseg.report.section import DataTable, Document, Illustration, Section, Tile
from geopointseg.validation.validation_result import Validation


def write_validation_report(validation: Validation, path: str | os.PathLike[str]) -> Path:
    """Write the report of a cross-validation as one HTML file.

    Parameters
    ----------
    validation
        The result.
    path
        The HTML file.

    Returns
    -------
    Path
        Where the report is.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    value, low, high = validation.recipe.mean_f1
    tiles = [
        Tile(
            f"{value:.3f}", "mean F1 on held-out points", f"between {low:.3f} and {high:.3f} (95 %)"
        ),
        *(
            Tile(f"{found.mean_f1[0]:.3f}", name, "mean F1 on the same folds")
            for name, found in list(validation.scores.items())[:-1]
        ),
    ]
    meaning = Section(
        "What this means",
        points=[s for s in validation.sentences() if s not in validation.warnings],
        warnings=validation.warnings,
    )
    sections = [meaning, *validation_sections(validation)]
    title = "How well does this recipe map other places?"
    subtitle = f"{validation.design}, buffer {validation.buffer_m:.0f} m"
    return write_document(Document(title, subtitle, tiles, sections), path)


def validation_sections(validation: Validation) -> list[Section]:
    """Return the sections on a cross-validation: scores by class, confusion, learning curve."""
    names = [*validation.legend.names, "mean F1"]
    chart = Illustration(
        "cross_validation",
        draw_cross_validation(
            {
                method: [tuple(row) for row in (*found.f1.tolist(), found.mean_f1.tolist())]
                for method, found in validation.scores.items()
            },
            names,
            "F1 on held-out points",
        ),
        "F1 of each class and method on held-out points with 95 % intervals; the table has the same numbers.",
        "Intervals from resampled blocks.",
    )
    tables = [DataTable(title, headings, rows) for title, headings, rows in validation.tables()]
    confusion = Illustration(
        "cross_validation_confusion",
        draw_confusion(validation.recipe.confusion),
        "Confusion matrix of the recipe on held-out points; rows are the map, columns the reference.",
        "Rows are the map, columns the reference.",
    )
    sections = [
        Section("Class by class", illustrations=[chart], tables=tables),
        Section("Confusion between classes", illustrations=[confusion]),
    ]
    if validation.curve is not None and len(validation.curve.points) > 1:
        sections.append(learning_curve_section(validation))
    return sections


def learning_curve_section(validation: Validation) -> Section:
    """Return the section of a report on whether more points would help."""
    curve = validation.curve
    if curve is None:
        return Section("Would more points help?", ["The learning curve was not computed."])
    drawn = draw_learning_curve(
        [p.points_per_class for p in curve.points],
        {curve.method: [[p.low, p.mean_f1, p.high] for p in curve.points]},
    )
    illustration = Illustration(
        "learning_curve",
        drawn,
        f"Mean F1 against training points per class. {curve.advice()}",
        f"Cross-validated on {validation.design}.",
    )
    return Section("Would more points help?", [curve.advice()], illustrations=[illustration])
