"""The report of an assessed map with everything that is known about it."""

from __future__ import annotations

import os
from pathlib import Path

from geopointseg.assessment.outcome import Assessment
from geopointseg.config import Config
from geopointseg.errors import ConfigError
from geopointseg.labels.points import Points, read_points
from geopointseg.progress import Reporter
from geopointseg.raster.scene import Scene
from geopointseg.report.applicability import ApplicabilityMap, applicability_section
from geopointseg.report.document import write_report
from geopointseg.report.provenance import ModelRecord
from geopointseg.report.section import Section

AnyPath = str | os.PathLike[str]


def report_map(
    assessment: Assessment,
    path: AnyPath,
    *,
    raster: AnyPath | None = None,
    model: AnyPath | None = None,
    training: AnyPath | None = None,
    class_field: str | None = None,
    applicability: AnyPath | None = None,
    learning_curve: bool = False,
    figures: AnyPath | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Path:
    """Write the report of an assessment, with scene, training points, model and applicability where they are given.

    Parameters
    ----------
    assessment
        What was found.
    path
        The HTML file.
    raster
        The scene that the map was made from, shown beside it.
    model
        The model folder: training curves, calibration, provenance, and the training points that it keeps.
    training, class_field
        Training points, where they are others than the model keeps, and the field with their class.
    applicability
        Dissimilarity index that `map_applicability` wrote.
    learning_curve
        Whether to cross-validate a forest on the training points and show how scores grow with their number, with
        the model's settings where it is given; this needs the scene and takes a minute or more.
    figures
        Folder to save each figure in, as PNG and SVG.
    seed
        Decides the folds of the learning curve.
    reporter
        Takes progress; may cancel.

    Returns
    -------
    Path
        Where the report is.

    Raises
    ------
    ConfigError
        If the learning curve is asked for without scene or points.
    InputFileError, OutputError
        If a file is missing or cannot be written.
    """
    scene = None if raster is None else Scene.open(os.fspath(raster))
    points = _training_points(model, training, class_field)
    extra: list[Section] = []
    if applicability is not None:
        extra.append(applicability_section(ApplicabilityMap.open(applicability), assessment))
    if learning_curve:
        config = _settings(model)
        extra.append(_learning_curve(scene, points, config, seed, reporter or Reporter()))
    return write_report(
        assessment, path, scene=scene, training_points=points, model=model, extra=extra,
        figure_folder=figures,
    )  # fmt: skip


def _training_points(
    model: AnyPath | None, training: AnyPath | None, class_field: str | None
) -> Points | None:
    """Return the points named, or those that the model keeps."""
    if training is not None:
        return read_points(Path(training), class_field=class_field)
    kept = None if model is None else Path(model) / "training" / "points.gpkg"
    return read_points(kept) if kept is not None and kept.exists() else None


def _settings(model: AnyPath | None) -> Config:
    """Return the settings that a model was trained with, or the defaults."""
    if model is None:
        return Config()
    return Config().updated(ModelRecord.read(Path(model)).description.get("config", {}))


def _learning_curve(
    scene: Scene | None, points: Points | None, config: Config, seed: int, reporter: Reporter
) -> Section:
    from geopointseg.study.validation import validate
    from geopointseg.study.validation_report import learning_curve_section

    if scene is None or points is None:
        lacking = "scene" if scene is None else "training points"
        raise ConfigError(
            f"The learning curve was asked for, and the {lacking} not given. Expected a raster and points to learn "
            "from; add --raster, and --model or --training."
        )
    validated = validate(
        scene.path, points, config=config, model="forest", seed=seed, reporter=reporter
    )
    return learning_curve_section(validated)
