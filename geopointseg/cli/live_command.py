"""The command that runs a live session: live."""

from __future__ import annotations

import click

from geopointseg.cli.help_page import ExampleCommand
from geopointseg.cli.invocation import (
    Invocation,
    common_options,
    points_options,
    raster_option,
)
from geopointseg.cli.setting_options import settings_options


@click.command(
    "live",
    cls=ExampleCommand,
    examples=(
        """echo '{"do": "state"}' | geopointseg live --raster scene.tif --points points.gpkg""",
    ),
)
@raster_option
@points_options(required=False)
@click.option(
    "--classes", default="", metavar="NAME,NAME...",
    help="Classes to begin with, separated by commas; further ones come with the points.",
)  # fmt: skip
@settings_options()
@common_options
def live_command(
    run: Invocation, rasters: tuple[str, ...], points: str | None, class_field: str | None, layer: str | None,
    classes: str,
) -> None:  # fmt: skip
    """Run a live session on stdin and stdout: add points, and get the map of a view.

    One JSON object per line; docs/live-protocol.md describes them, and examples/live_client.py is a client.
    """
    from geopointseg.live.serving import serve

    names = [name.strip() for name in classes.split(",") if name.strip()]
    serve(
        list(rasters), run.settings, points=points, class_field=class_field, layer=layer, classes=names,
        reporter=run.reporter,
    )  # fmt: skip
    run.reporter.close()
