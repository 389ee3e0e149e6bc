"""Commands on accuracy: assess, validate, suggest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geopointseg.cli.help_page import ExampleCommand, described_argument
from geopointseg.cli.invocation import (
    Invocation,
    common_options,
    layer_options,
    points_options,
    raster_option,
    scene_arguments,
)
from geopointseg.cli.setting_options import settings_options


@click.command(
    "assess",
    cls=ExampleCommand,
    examples=(
        "geopointseg assess map.tif --design 300 -o sample.gpkg",
        "geopointseg assess map.tif --points sample.gpkg --sampling stratified -o report.html",
    ),
)
@described_argument("map_path", "Class map, of geopointseg or another program.", metavar="MAP.tif")
@click.option(
    "--points", default=None, metavar="TEST", help="Test points, or a raster with the true classes."
)
@layer_options
@click.option(
    "-o",
    "--output",
    default=None,
    metavar="REPORT.html",
    help="Also write a report that opens in any browser.",
)
@click.option(
    "--design",
    type=int,
    default=None,
    metavar="N",
    help="Draw N points to be labelled as a probability sample for the assessment (with -o OUT.gpkg).",
)
@click.option("--sampling", type=click.Choice(["unknown", "simple", "stratified"]), default="unknown", show_default=True,
    help="Sampling design of the test points; areas and intervals need a probability sample.")  # fmt: skip
@click.option(
    "--strata", default=None, metavar="S.tif",
    help="Raster with the strata of the sample, where they are not the classes of the map.",
)  # fmt: skip
@click.option(
    "--force",
    is_flag=True,
    help="Assess also on points that the model was trained on; the report states it.",
)
@click.option(
    "--raster", default=None, metavar="R", help="Show the scene of the map in the report."
)
@click.option(
    "--model", default=None, metavar="MODEL_DIR",
    help="Model of the map: test points that are its training points are refused, and the report describes it.",
)  # fmt: skip
@click.option(
    "--training", default=None, metavar="POINTS",
    help="Show these training points instead of those that the model keeps.",
)  # fmt: skip
@click.option(
    "--applicability", default=None, metavar="A.tif",
    help="Show the area of applicability written by 'predict --applicability', and the accuracy inside and outside it.",
)  # fmt: skip
@click.option(
    "--learning-curve", is_flag=True,
    help="Show whether more training points would raise the accuracy; takes a minute or more.",
)  # fmt: skip
@click.option(
    "--figures", default=None, metavar="DIR", help="Also save the report's figures, as PNG and SVG."
)
@common_options
def assess_command(
    run: Invocation,
    map_path: str,
    output: str | None,
    design: int | None,
    points: str | None,
    **options: Any,
) -> None:
    """Compare a class map with test points: accuracy, confusion matrix, areas.

    With -o, write a report as HTML; --raster, --model and the options after them add sections to it.
    """
    if design is not None:
        given = [name for name, value in options.items() if value and value != "unknown"]
        if points is not None or given:
            name = "points" if points is not None else given[0].replace("_", "-")
            raise click.UsageError(
                f"--design only draws points, without --{name}; assess with it afterwards."
            )
        _design_sample(run, map_path, design, output)
        return
    if points is None:
        raise click.UsageError(
            "Missing option '--points'. Give the test points, or --design N to draw them."
        )
    _assess_map(run, map_path, points, output, **options)


def _design_sample(run: Invocation, map_path: str, count: int, output: str | None) -> None:
    from geopointseg.assessment.design import CLASS_FIELD, SAMPLE_LAYER, design_sample, write_sample
    from geopointseg.labels.layer import require_free_geopackage

    if output is None:
        raise click.UsageError("--design draws points; name the file for them with -o OUT.gpkg.")
    require_free_geopackage(output, SAMPLE_LAYER, [map_path], CLASS_FIELD)
    sample = design_sample(map_path, count, seed=run.seed, reporter=run.reporter)
    write_sample(sample, output)
    run.finish(
        {"output": output, "points": len(sample)},
        f"Wrote {len(sample)} points to {output}; fill in their class and assess.",
    )


_REPORT_OPTIONS = ("raster", "model", "training", "applicability", "learning_curve", "figures")


def _assess_map(
    run: Invocation, map_path: str, points: str, output: str | None, **options: Any
) -> None:
    from geopointseg.assessment.accuracy import assess as assess_map
    from geopointseg.raster.publishing import (
        require_ending,
        require_room_for_folder,
        require_writable_folder,
    )

    shown = {name: options.pop(name) for name in _REPORT_OPTIONS}
    only_shown = [name for name, value in shown.items() if value and name != "model"]
    if output is None and only_shown:
        first = only_shown[0].replace("_", "-")
        raise click.UsageError(f"--{first} adds to the report; name its file with -o REPORT.html.")
    figures = shown.pop("figures")
    checked = shown["model"]
    if output is None:
        assessed = assess_map(map_path, points, model=checked, reporter=run.reporter, **options)
    else:
        from geopointseg.validation.map_report import ReportInputs, write_map_report

        require_ending(Path(output), "HTML")
        require_writable_folder(Path(output))
        if figures:
            require_room_for_folder(Path(figures))
        inputs = ReportInputs.open(map_path, class_field=options["class_field"], **shown)
        assessed = assess_map(map_path, points, model=checked, reporter=run.reporter, **options)
        write_map_report(
            assessed, output, inputs, figures=figures, seed=run.seed, reporter=run.reporter
        )
    sentences = [line for line in assessed.sentences() if line not in assessed.warnings]
    run.finish(assessed.to_json() | {"report": output}, *assessed.tables(), *sentences)


@click.command(
    "validate",
    cls=ExampleCommand,
    examples=("geopointseg validate scene.tif --points points.gpkg -o validation.html",),
)
@scene_arguments
@points_options()
@settings_options(("optimization", "minutes", "M"), ("optimization", "steps", "N"))
@click.option(
    "--by", type=click.Choice(["block", "scene"]), default="block", show_default=True,
    help="Hold out spatial blocks, or whole scenes (other dates, other sensors), in turn.",
)  # fmt: skip
@click.option(
    "--folds", type=int, default=5, show_default=True, metavar="K",
    help="Number of folds; with --by scene the number of scenes.",
)  # fmt: skip
@click.option(
    "--block-size-m",
    type=float,
    default=None,
    metavar="M",
    help="Side of a block; by default the range of the variogram of the labels.",
)
@click.option(
    "--buffer-m", type=float, default=None, metavar="M",
    help="Exclude training points within this distance of a test point; by default the reach of a training chip, less "
    "where too few points would be left.",
)  # fmt: skip
@click.option(
    "--strict", is_flag=True,
    help="Fail, instead of warning, where a training chip reaches a test point.",
)  # fmt: skip
@click.option(
    "--model", type=click.Choice(["auto", "network", "linear", "knn", "forest"]), default="auto", show_default=True,
    help="Kind of model to train, as for 'train'.",
)  # fmt: skip
@click.option("-o", "--output", default=None, metavar="REPORT.html", help="Also write a report.")
@common_options
def validate_command(
    run: Invocation, rasters: tuple[str, ...], points: str, class_field: str | None, layer: str | None, **options: Any,
) -> None:  # fmt: skip
    """Cross-validate the training on spatial blocks, and compare it with the majority class and with forests."""
    from geopointseg.labels.points import read_points
    from geopointseg.raster.publishing import require_ending, require_writable_folder
    from geopointseg.validation.cross_validation import validate as cross_validate

    if options["output"] is not None:
        require_ending(Path(options["output"]), "HTML")
        require_writable_folder(Path(options["output"]))
    validated = cross_validate(
        list(rasters), read_points(points, class_field=class_field, layer=layer), config=run.settings, seed=run.seed,
        device=run.device, reporter=run.reporter, **options,
    )  # fmt: skip
    sentences = [line for line in validated.sentences() if line not in validated.warnings]
    run.finish(validated.to_json(), *validated.tables(), *sentences)


@click.command(
    "suggest",
    cls=ExampleCommand,
    examples=(
        "geopointseg suggest model --raster scene.tif --count 20 --min-distance-m 30 -o suggested.gpkg",
    ),
)
@described_argument(
    "models",
    "Folder that train wrote; the probabilities of several are averaged.",
    nargs=-1,
    required=True,
    metavar="MODEL_DIR [MODEL_DIR ...]",
)
@raster_option
@click.option("--count", type=int, required=True, metavar="N", help="Points to suggest.")
@click.option(
    "--min-distance-m",
    type=float,
    required=True,
    metavar="M",
    help="Smallest distance between them.",
)
@click.option("-o", "--output", required=True, metavar="OUT.gpkg", help="Points to write.")
@click.option(
    "--points",
    default=None,
    metavar="POINTS",
    help="Existing points; by default those that the model was trained on.",
)
@layer_options
@common_options
def suggest_command(
    run: Invocation,
    models: tuple[str, ...],
    rasters: tuple[str, ...],
    output: str,
    points: str | None,
    class_field: str | None,
    layer: str | None,
    **options: Any,
) -> None:
    """Suggest the places where new points improve the model most."""
    from geopointseg.labels.points import read_points
    from geopointseg.validation.suggestion import suggest as suggest_points

    if points is None and (class_field or layer):
        raise click.UsageError(
            "--class-field and --layer describe points; name their file with --points."
        )
    is_described = points is not None and (class_field or layer)
    suggested = suggest_points(
        list(models),
        list(rasters),
        output=output,
        points=read_points(str(points), class_field=class_field, layer=layer)
        if is_described
        else points,
        seed=run.seed,
        device=run.device,
        reporter=run.reporter,
        **options,
    )
    run.finish(suggested.to_json() | {"output": output}, *suggested.tables(), f"Wrote {output}.")
