"""Commands that use models: predict, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geopointseg.cli.help_page import ExampleCommand, described_argument
from geopointseg.cli.invocation import Invocation, Table, common_options, raster_option
from geopointseg.cli.setting_options import setting_option
from geopointseg.errors import OutputError

if TYPE_CHECKING:
    from geopointseg.report.applicability_section import ApplicabilityMap


@click.command(
    "predict",
    cls=ExampleCommand,
    examples=("geopointseg predict model --raster scene.tif -o map.tif",),
)
@described_argument(
    "models",
    "Folder that train wrote; the probabilities of several are averaged.",
    nargs=-1,
    required=True,
    metavar="MODEL_DIR [MODEL_DIR ...]",
)
@raster_option
@click.option("-o", "--output", required=True, metavar="MAP.tif", help="Class map to write.")
@click.option(
    "--probabilities", default=None, metavar="P.tif", help="Also write class probabilities."
)
@click.option(
    "--uncertainty",
    default=None,
    metavar="U.tif",
    help="Also write confidence, entropy and margin.",
)
@click.option(
    "--applicability", default=None, metavar="A.tif",
    help="Also write the dissimilarity index to the training points, and the area of applicability as A_mask.tif.",
)  # fmt: skip
@click.option(
    "--trained-on", multiple=True, metavar="R",
    help="Raster of the training points, for --applicability; by default the mapped one. May be given several times.",
)  # fmt: skip
@setting_option("prediction", "tta")
@setting_option("prediction", "overlap_px", "--overlap", metavar="PX")
@setting_option("prediction", "window_px", "--window", metavar="PX")
@setting_option("prediction", "batch_size")
@setting_option("prediction", "blend")
@setting_option("prediction", "backend")
@click.option(
    "--companion", default=None, metavar="E",
    help="Embedding beside the rasters, for a model trained with [scene] companion; by default the one of the training.",
)  # fmt: skip
@click.option(
    "--aoi",
    default=None,
    metavar="AREA.gpkg",
    help="Area of interest; outside it the map is nodata.",
)
@click.option(
    "--min-area-px",
    type=int,
    default=0,
    show_default=True,
    help="Merge patches of fewer pixels into their neighbours.",
)
@click.option("--resume", is_flag=True, help="Continue a prediction that was stopped.")
@click.option(
    "--dask", default=None, metavar="ADDRESS", help="Dask scheduler, or local:N for N workers here."
)
@click.option(
    "--cog/--no-cog", default=True, show_default=True, help="Cloud-optimized layout with overviews."
)
@common_options
def predict_command(
    run: Invocation, models: tuple[str, ...], rasters: tuple[str, ...], output: str, applicability: str | None,
    trained_on: tuple[str, ...], **options: Any,
) -> None:  # fmt: skip
    """Predict a georeferenced class map of rasters with one or more models."""
    from geopointseg.prediction.predictor import plan_prediction

    _check_applicability(models, rasters, applicability, trained_on)
    _check_distinct(applicability, output, options["probabilities"], options["uncertainty"])
    given = {name: value for name, value in options.items() if value is not None}
    planned = plan_prediction(
        list(models), list(rasters), output, device=run.device, reporter=run.reporter, **given
    )
    known = None
    if applicability is not None:
        known = _map_applicability(run, models[0], rasters[0], applicability, trained_on)
    done = planned.run()
    rows = [
        (name, pixels, pixels / max(sum(done.class_pixels.values()), 1))
        for name, pixels in done.class_pixels.items()
    ]
    run.finish(
        done.to_json() | {"applicability": known.to_json() if known else None},
        Table(f"Map {output}", ["class", "pixels", "share"], rows),
        *(known.sentences() if known else ()),
        f"Wrote {output} in {done.seconds:.0f} s. Open it in QGIS; names and colours come with it.",
    )


def _check_applicability(
    models: tuple[str, ...], rasters: tuple[str, ...], output: str | None, trained_on: tuple[str, ...]
) -> None:  # fmt: skip
    """Refuse options that do not fit an area of applicability."""
    if output is None:
        if trained_on:
            raise click.UsageError("--trained-on is for --applicability A.tif; give both.")
        return
    if len(models) > 1 or len(rasters) > 1:
        raise click.UsageError(
            f"--applicability takes one model and one raster, but {len(models)} models and {len(rasters)} rasters "
            "were given. Run it for each pair."
        )


def _check_distinct(applicability: str | None, *outputs: str | None) -> None:
    """Refuse an area of applicability that cannot be written, or has the path of another product."""
    if applicability is None:
        return
    from geopointseg.raster.publishing import require_ending, require_writable_folder
    from geopointseg.report.applicability_section import mask_path

    require_ending(Path(applicability), "GeoTIFF")
    require_writable_folder(Path(applicability))
    own = {Path(applicability).absolute(), mask_path(Path(applicability)).absolute()}
    for path in filter(None, outputs):
        if Path(path).absolute() in own:
            raise OutputError(
                f"The output '{path}' was named for two products. Each product goes into a file of its own, and "
                f"--applicability also writes '{mask_path(Path(applicability))}'; choose different names."
            )


def _map_applicability(
    run: Invocation, model: str, raster: str, output: str, trained_on: tuple[str, ...]
) -> ApplicabilityMap:
    """Write the area of applicability: before the map, so that an error ends the run early."""
    from geopointseg.validation.applicability import map_applicability

    return map_applicability(
        model, raster, output, training_scenes=list(trained_on) or None, seed=run.seed,
        reporter=run.reporter,
    )  # fmt: skip


@click.command(
    "export",
    cls=ExampleCommand,
    examples=("geopointseg export model -o model.onnx",),
)
@described_argument("model", "Folder that train wrote.", metavar="MODEL_DIR")
@click.option("-o", "--output", required=True, metavar="MODEL.onnx", help="ONNX file to write.")
@common_options
def export_command(run: Invocation, model: str, output: str) -> None:
    """Write a model's network as ONNX, with the metadata that QGIS's Deepness plugin reads."""
    from geopointseg.prediction.export import export_onnx

    summary = export_onnx(model, output)
    said = [f"Wrote {output}."]
    if summary["left_out"]:
        kinds = ", ".join(summary["left_out"])
        said.append(
            f"Left out, because ONNX files hold networks only: {kinds}. Maps of the file differ from those of 'predict'."
        )
    run.finish(summary, *said)
