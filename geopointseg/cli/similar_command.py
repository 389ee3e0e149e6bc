"""The command that finds what looks like a point: similar."""

from __future__ import annotations

import click

from geopointseg.cli.help_page import ExampleCommand
from geopointseg.cli.invocation import (
    Invocation,
    Table,
    common_options,
    points_options,
    scene_arguments,
)
from geopointseg.cli.setting_options import settings_options


@click.command(
    "similar",
    cls=ExampleCommand,
    examples=("geopointseg similar embedding.tif --points points.gpkg -o similarity.tif",),
)
@scene_arguments
@points_options(required=False)
@click.option(
    "--at", type=(float, float), multiple=True, metavar="X Y",
    help="Coordinates of a point in the CRS of the first raster, in place of --points. May be given several times.",
)  # fmt: skip
@click.option(
    "-o", "--output", required=True, metavar="OUT.tif", help="Map of similarity to write."
)
@settings_options()
@common_options
def similar_command(
    run: Invocation, rasters: tuple[str, ...], points: str | None, class_field: str | None, layer: str | None,
    at: tuple[tuple[float, float], ...], output: str,
) -> None:  # fmt: skip
    """Map the cosine similarity of embeddings R to the vectors of points."""
    from geopointseg.labels.points import read_points
    from geopointseg.validation.similarity import map_similarity

    if (points is None) == (not at):
        raise click.UsageError(
            "Expected points, either by --points or by --at X Y; give one of them."
        )
    given = (
        list(at) if points is None else read_points(points, class_field=class_field, layer=layer)
    )
    done = map_similarity(
        list(rasters), given, output, settings=run.settings.scene, reporter=run.reporter
    )
    rows = [(name, count, done.median[name]) for name, count in done.points.items()]
    run.finish(
        done.to_json(),
        Table(f"Similarity map {output}", ["band", "points", "median similarity"], rows),
        f"Wrote {output}. Pixels near 1 look like the points.",
    )
