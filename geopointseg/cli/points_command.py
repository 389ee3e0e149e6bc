"""Commands on points: check, simulate, split, rasterize."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from geopointseg.cli.help_page import ExampleCommand, ExampleGroup, described_argument
from geopointseg.cli.invocation import (
    Invocation,
    Table,
    common_options,
    layer_options,
    raster_option,
)
from geopointseg.cli.setting_options import settings_options
from geopointseg.errors import PointsError


@click.group(
    "points",
    cls=ExampleGroup,
    examples=("geopointseg points check points.gpkg --raster scene.tif",),
)
def points_command() -> None:
    """Check, simulate, split and rasterize labelled points."""


_points_argument = described_argument(
    "points", "Vector file with labelled points (GeoPackage recommended).", metavar="POINTS"
)


def _output_option(metavar: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option("-o", "--output", required=True, metavar=metavar, help="File to write.")


@points_command.command(
    cls=ExampleCommand,
    examples=("geopointseg points check points.gpkg --raster scene.tif",),
)
@_points_argument
@raster_option
@layer_options
@click.option(
    "-o",
    "--output",
    default=None,
    metavar="OUT.gpkg",
    help="Write questionable points with their reasons to this file.",
)
@settings_options()
@common_options
def check(
    run: Invocation, points: str, rasters: tuple[str, ...], class_field: str | None, layer: str | None,
    output: str | None,
) -> None:  # fmt: skip
    """Check whether points can be used with the rasters, before training."""
    from geopointseg.bands.band_names import require_distinct_bands
    from geopointseg.bands.opening import open_scenes
    from geopointseg.labels.layer import require_free_geopackage
    from geopointseg.labels.point_check import QUESTIONABLE_LAYER, check_points, write_questionable
    from geopointseg.labels.points import read_points
    from geopointseg.raster.warp import in_resolution

    if output:
        require_free_geopackage(output, QUESTIONABLE_LAYER, [points, *rasters])
    labelled = read_points(points, class_field=class_field, layer=layer)
    settings = run.settings.scene
    chip_size = run.settings.on_device(run.device).sampling.chip_size
    scenes = open_scenes(rasters, bands=settings.bands, reporter=run.reporter, **settings.reading)
    require_distinct_bands(scenes[0])
    size = scenes[0].grid.resolution_m
    scenes = [in_resolution(scene, size, reporter=run.reporter) for scene in scenes]
    checked = check_points(labelled, scenes, chip_size=chip_size, reporter=run.reporter)
    if output:
        write_questionable(checked, output)
    headings, rows = checked.to_table()
    problems = Table(
        "Problems", ["severity", "problem"], [(p.severity, p.message) for p in checked.problems]
    )
    verdict = (
        "The points are usable." if checked.usable else "The points are not usable yet; see above."
    )
    run.finish(checked.to_json(), Table("Points by class", headings, rows), problems, verdict)
    if not checked.usable:
        click.get_current_context().exit(1)


@points_command.command(
    cls=ExampleCommand,
    examples=("geopointseg points simulate mask.tif --per-class 50 -o points.gpkg",),
)
@described_argument(
    "masks",
    "Raster with a class in every pixel.",
    nargs=-1,
    required=True,
    metavar="MASK [MASK ...]",
)
@_output_option("OUT.gpkg")
@click.option("--per-class", type=int, default=None, metavar="N", help="Points per class.")
@click.option("--per-image", type=int, default=None, metavar="N", help="Points per image.")
@click.option("--per-instance", type=int, default=None, metavar="N", help="Points per object.")
@click.option("--fraction", type=float, default=None, metavar="F", help="Share of the pixels.")
@click.option(
    "--each-image", is_flag=True, help="Apply the number to each image, not to all together."
)
@click.option(
    "--placement", type=click.Choice(["uniform", "stratified", "boundary", "interior", "instance", "clustered"]),
    default="stratified", show_default=True, help="Placement of the points.",
)  # fmt: skip
@click.option(
    "--min-distance-m",
    type=float,
    default=0.0,
    show_default=True,
    help="Smallest distance between two points.",
)
@click.option(
    "--label-noise",
    type=float,
    default=0.0,
    show_default=True,
    help="Share of points with a wrong class.",
)
@click.option(
    "--position-error-m",
    type=float,
    default=0.0,
    show_default=True,
    help="Standard deviation of the position.",
)
@click.option(
    "--palette",
    metavar="PALETTE",
    default=None,
    help="Colours of a colour-coded mask: a file or a built-in name.",
)
@click.option(
    "--like",
    default=None,
    metavar="R",
    help="Image that gives the georeference to a mask without one.",
)
@common_options
def simulate(run: Invocation, masks: tuple[str, ...], output: str, **options: Any) -> None:
    """Simulate points from dense masks."""
    from geopointseg.lab.point_simulation import simulate_points
    from geopointseg.labels.layer import POINTS_LAYER, require_free_geopackage
    from geopointseg.labels.points import write_points

    budgets = [
        name
        for name in ("per_class", "per_image", "per_instance", "fraction")
        if options[name] is not None
    ]
    if len(budgets) != 1:
        raise click.UsageError(
            "Give exactly one of --per-class, --per-image, --per-instance and --fraction."
        )
    require_free_geopackage(output, POINTS_LAYER, masks)
    drawn = simulate_points(list(masks), seed=run.seed, reporter=run.reporter, **options)
    write_points(drawn, output)
    counts = dict(zip(drawn.legend.names, drawn.counts().tolist(), strict=True))
    run.finish(
        {"output": output, "points": len(drawn), "counts": counts},
        Table(f"Points drawn: {output}", ["class", "points"], list(counts.items())),
    )


@points_command.command(
    cls=ExampleCommand,
    examples=("geopointseg points split points.gpkg --test-fraction 0.3 -o split.gpkg",),
)
@_points_argument
@_output_option("OUT.gpkg")
@layer_options
@click.option(
    "--block-size-m", type=float, default=None, metavar="M",
    help="Side of a spatial block; by default the range of the variogram of the labels.",
)  # fmt: skip
@click.option("--folds", type=int, default=None, metavar="K", help="Number of folds.")
@click.option(
    "--test-fraction",
    type=float,
    default=None,
    metavar="F",
    help="Share of points to keep for testing.",
)
@click.option(
    "--validation-fraction",
    type=float,
    default=0.0,
    show_default=True,
    help="Share of points for validation.",
)
@click.option(
    "--buffer-m",
    type=float,
    default=0.0,
    show_default=True,
    help="Drop training points within this distance of a test point.",
)
@common_options
def split(
    run: Invocation,
    points: str,
    output: str,
    class_field: str | None,
    layer: str | None,
    **options: Any,
) -> None:
    """Split points by spatial blocks, so that test points and training points lie in different blocks."""
    from geopointseg.labels.block_split import split_points
    from geopointseg.labels.layer import POINTS_LAYER, require_free_geopackage
    from geopointseg.labels.points import read_points, write_points

    if (options["folds"] is None) == (options["test_fraction"] is None):
        raise click.UsageError("Give either --folds K or --test-fraction F.")
    require_free_geopackage(output, POINTS_LAYER, [points])
    whole = read_points(points, class_field=class_field, layer=layer)
    divided = split_points(whole, seed=run.seed, reporter=run.reporter, **options)
    write_points(divided, output)
    parts = sorted(set(divided.split.tolist()))
    rows = [
        (
            name,
            *(int(((divided.split == part) & (divided.class_index == i)).sum()) for part in parts),
        )
        for i, name in enumerate(divided.legend.names)
    ]
    counts = {row[0]: dict(zip(parts, row[1:], strict=True)) for row in rows}
    run.finish(
        {"output": output, "points": len(divided), "counts": counts},
        Table(f"Points by split: {output}", ["class", *parts], rows),
    )


@points_command.command(
    cls=ExampleCommand,
    examples=("geopointseg points rasterize points.gpkg --raster scene.tif -o mask.tif",),
)
@_points_argument
@click.option(
    "--raster", "--like", "like", required=True, metavar="R", help="Raster whose grid is used."
)
@_output_option("MASK.tif")
@layer_options
@common_options
def rasterize(
    run: Invocation, points: str, like: str, output: str, class_field: str | None, layer: str | None
) -> None:
    """Rasterize points into a sparse mask on the grid of a raster; all other pixels are unlabelled."""
    from geopointseg.labels.points import read_points
    from geopointseg.labels.sparse_mask import rasterize_points, write_mask
    from geopointseg.raster.publishing import raster_files, refuse_overwriting_inputs
    from geopointseg.raster.scene import Scene

    scene = Scene.open(like)
    refuse_overwriting_inputs(
        [output, Path(output).with_suffix(".qml")],
        [points, Path(points).with_suffix(".qml"), *raster_files([scene.path])],
    )
    labelled = read_points(points, class_field=class_field, layer=layer)
    mask = rasterize_points(labelled, scene.grid)
    if mask.outside == len(labelled):
        raise PointsError(
            f"None of the {len(labelled)} points in '{points}' lies on '{like}'. Expected some on the raster; check that both "
            "are of one place, and their coordinate reference systems."
        )
    write_mask(mask, output)
    counts = dict(zip(mask.legend.names, mask.counts().tolist(), strict=True))
    run.finish(
        {"output": output, "pixels": counts},
        Table(f"Labelled pixels in {output}", ["class", "pixels"], list(counts.items())),
    )
