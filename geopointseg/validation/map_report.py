"""Report of an assessed map, with scene, training points, model and area of applicability."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from geopointseg.assessment.assessment_result import Assessment
from geopointseg.assessment.training_points import read_kept_points
from geopointseg.config import Config
from geopointseg.errors import ConfigError
from geopointseg.labels.points import Points, read_points
from geopointseg.model.bundle import known_settings
from geopointseg.progress import Reporter
from geopointseg.raster.grid import require_transformation
from geopointseg.raster.raster_access import open_dataset
from geopointseg.raster.scene import Scene
from geopointseg.report.applicability_section import ApplicabilityMap, applicability_section
from geopointseg.report.document import write_report
from geopointseg.report.provenance import ModelProvenance
from geopointseg.report.section import Section

AnyPath = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class ReportInputs:
    """Further content of a report, opened before the map is read, so that errors come early.

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
        Settings of the learning curve; None where none is requested.
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
        """Open the files that are named.

        Parameters
        ----------
        map_path
            The assessed map.
        raster
            The scene that was predicted, shown beside the map.
        model
            The model folder, for training curves, calibration, provenance, and the training points that it keeps.
        training, class_field
            Training points, if not those that the model keeps, and the field with their class.
        applicability
            Dissimilarity index from `map_applicability`.
        learning_curve
            Whether to cross-validate a forest on the training points for a learning curve, with the settings of the
            model where it is given. This needs the scene and takes a minute or more.

        Returns
        -------
        ReportInputs
            What is not named is None.

        Raises
        ------
        ConfigError
            If the learning curve is requested without scene or points.
        InputFileError
            If a file is missing.
        RasterError
            If the CRS of the scene or the points cannot be transformed to that of the map.
        """
        scene = None if raster is None else Scene.open(os.fspath(raster))
        points = _training_points(model, training, class_field)
        with open_dataset(os.fspath(map_path)) as dataset:
            for other in (scene.grid.crs if scene else None, points.crs if points else None):
                if other is not None and dataset.crs is not None:
                    require_transformation(other, dataset.crs)
        if model is not None:
            ModelProvenance.read(Path(model))
        known = None if applicability is None else ApplicabilityMap.open(applicability)
        if learning_curve and (scene is None or points is None):
            lacking = "scene" if scene is None else "training points"
            raise ConfigError(
                f"The learning curve was requested without the {lacking}. Expected a raster and points to train on; add "
                "`raster=`, and `model=` or `training=`."
            )
        return cls(scene, points, model, known, _settings(model) if learning_curve else None)


def write_map_report(
    assessment: Assessment,
    path: AnyPath,
    inputs: ReportInputs,
    *,
    figures: AnyPath | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Path:
    """Write the report of an assessment, with scene, training points, model and area of applicability where given.

    Parameters
    ----------
    assessment
        The assessment.
    path
        The HTML file.
    inputs
        What else the report shows.
    figures
        Folder to save each figure in, as PNG and SVG.
    seed
        Seed of the folds of the learning curve.
    reporter
        Receives progress; may cancel.

    Returns
    -------
    Path
        Where the report is.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
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
    """Return the points that are named, or those that the model keeps."""
    if training is not None:
        return read_points(Path(training), class_field=class_field)
    return None if model is None else read_kept_points(Path(model))


def _settings(model: AnyPath | None) -> Config:
    """Return the settings that a model was trained with, or the defaults."""
    if model is None:
        return Config()
    return known_settings(ModelProvenance.read(Path(model)).description.get("config", {}))


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
