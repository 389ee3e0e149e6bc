"""Commands that use models: predict, export."""

from __future__ import annotations

from typing import Any

import click

from geopointseg.cli.invocation import (
    Invocation,
    Table,
    common_options,
    raster_option,
)
from geopointseg.cli.setting import setting_option


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL_DIR [MODEL_DIR ...]")
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
@setting_option("prediction", "tta")
@setting_option("prediction", "overlap_px", "--overlap", metavar="PX")
@setting_option("prediction", "window_px", "--window", metavar="PX")
@setting_option("prediction", "batch_size")
@setting_option("prediction", "blend")
@setting_option("prediction", "backend")
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
    help="Merge patches smaller than this into their surroundings.",
)
@click.option("--resume", is_flag=True, help="Finish a prediction that was stopped.")
@click.option(
    "--dask", default=None, metavar="ADDRESS", help="Dask scheduler, or local:N for N workers here."
)
@click.option(
    "--cog/--no-cog", default=True, show_default=True, help="Cloud-optimized layout with overviews."
)
@common_options
def predict(
    run: Invocation, models: tuple[str, ...], rasters: tuple[str, ...], output: str, **options: Any
) -> None:
    """Write a georeferenced class map of rasters with one or more models."""
    from geopointseg.prediction.predictor import predict as predict_map

    given = {name: value for name, value in options.items() if value is not None}
    done = predict_map(
        list(models), list(rasters), output, device=run.device, reporter=run.reporter, **given
    )
    rows = [
        (name, pixels, pixels / max(sum(done.class_pixels.values()), 1))
        for name, pixels in done.class_pixels.items()
    ]
    run.finish(
        done.to_json(),
        Table(f"Map {output}", ["class", "pixels", "share"], rows),
        f"Wrote {output} in {done.seconds:.0f} s. Open it in QGIS; names and colours come with it.",
    )


@click.command()
@click.argument("model", metavar="MODEL_DIR")
@click.option("-o", "--output", required=True, metavar="MODEL.onnx", help="ONNX file to write.")
@common_options
def export(run: Invocation, model: str, output: str) -> None:
    """Write a model's network as ONNX, with the metadata that QGIS's Deepness plugin reads."""
    from geopointseg.prediction.export import export_onnx

    summary = export_onnx(model, output)
    run.finish(summary, f"Wrote {output}.")
