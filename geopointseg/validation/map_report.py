"""The report of an assessed map with everything that is known about it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from geopointseg.assessment.assessment_result import Assessment
from geopointseg.config import Config
from geopointseg.errors import ConfigError
from geopointseg.labels.points import Points, read_points
from geopointseg.progress import Reporter
from geopointseg.raster.grid import require_transformation
from geopointseg.raster.raster_access import open_dataset
from geopointseg.raster.scene import Scene
from geopointseg.report.applicability_section import ApplicabilityMap, applicability_section
from geopointseg.report.document import write_report
from geopointseg.report.provenance import ModelRecord
from geopointseg.report.section import Section

AnyPath = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class ReportInputs:
    """What a report shows beside the assessment; opened before the map is read, so that what is wrong shows early.

    Parameters
    ----------
    scene
        The scene that the map was made from.
    points
        Training points.
    model
        The model folder.
    applicability
        The map of applicability.
    curve_config
        Settings of the learning curve; None where none is asked for.
    """

    scene: Scene | None
    points: Points | None
    model: AnyPath | None
    applicability: ApplicabilityMap | None
    curve_config: Config | None

    @classmethod
    def open(
        cls,
        map_path: AnyPath,
        *,
        raster: AnyPath | None = None,
        model: AnyPath | None = None,
        training: AnyPath | None = None,
        class_field: str | None = None,
        applicability: AnyPath | None = None,
        learning_curve: bool = False,
    ) -> ReportInputs:
        """Open all that is named; see `report_map`.

        Raises
        ------
        ConfigError
            If the learning curve is asked for without scene or points.
        InputFileError
            If a file is missing.
        RasterError
            If the scene or the points do not lie on the ground of the map.
        """
        scene = None if raster is None else Scene.open(os.fspath(raster))
        points = _training_points(model, training, class_field)
        with open_dataset(os.fspath(map_path)) as dataset:
            for other in (scene.grid.crs if scene else None, points.crs if points else None):
                if other is not None and dataset.crs is not None:
                    require_transformation(other, dataset.crs)
        if model is not None:
            ModelRecord.read(Path(model))
        known = None if applicability is None else ApplicabilityMap.open(applicability)
        if learning_curve and (scene is None or points is None):
            lacking = "scene" if scene is None else "training points"
            raise ConfigError(
                f"The learning curve was asked for, and the {lacking} not given. Expected a raster and points to learn "
                "from; add --raster, and --model or --training."
            )
        return cls(scene, points, model, known, _settings(model) if learning_curve else None)


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
    inputs = ReportInputs.open(
        assessment.map_path, raster=raster, model=model, training=training, class_field=class_field,
        applicability=applicability, learning_curve=learning_curve,
    )  # fmt: skip
    return write_map_report(assessment, path, inputs, figures=figures, seed=seed, reporter=reporter)


def write_map_report(
    assessment: Assessment,
    path: AnyPath,
    inputs: ReportInputs,
    *,
    figures: AnyPath | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Path:
    """Write the report of an assessment from inputs that are open already; see `report_map`."""
    extra: list[Section] = []
    if inputs.applicability is not None:
        extra.append(applicability_section(inputs.applicability, assessment))
    if inputs.curve_config is not None:
        extra.append(_learning_curve(inputs, inputs.curve_config, seed, reporter or Reporter()))
    return write_report(
        assessment, path, scene=inputs.scene, training_points=inputs.points, model=inputs.model, extra=extra,
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


def _learning_curve(inputs: ReportInputs, config: Config, seed: int, reporter: Reporter) -> Section:
    from geopointseg.validation.cross_validation import validate
    from geopointseg.validation.validation_report import learning_curve_section

    if inputs.scene is None or inputs.points is None:
        raise ConfigError("The learning curve lacks a scene or points. Expected both.")
    validated = validate(
        inputs.scene.path,
        inputs.points,
        config=config,
        model="forest",
        seed=seed,
        reporter=reporter,
    )
    return learning_curve_section(validated)
