"""Commands on the radiometry of scenes: match."""

from __future__ import annotations

from typing import Any

import click

from geopointseg.cli.help_page import ExampleCommand, described_argument
from geopointseg.cli.invocation import Invocation, common_options


@click.command(
    "match",
    cls=ExampleCommand,
    examples=("geopointseg match summer.tif --reference spring.tif -o matched.tif",),
)
@described_argument("raster", "Raster to match.", metavar="R")
@click.option(
    "--reference",
    "references",
    multiple=True,
    required=True,
    metavar="REF",
    help="Raster, folder, or model folder to match to; may be given several times.",
)
@click.option("-o", "--output", required=True, metavar="OUT.tif", help="Raster to write.")
@click.option(
    "--method",
    type=click.Choice(["histogram", "midpoint", "mean-std", "percentile", "equalize"]),
    default="histogram",
    show_default=True,
    help="Method of the matching.",
)
@click.option(
    "--weighting",
    type=click.Choice(["pixel", "area"]),
    default="pixel",
    show_default=True,
    help="Weight of several references: number of pixels, or area.",
)
@click.option(
    "--invariant", is_flag=True, help="Fit only to pixels of the shared area that did not change."
)
@click.option(
    "--mix-bands",
    is_flag=True,
    help="With --invariant: first mix the bands linearly, for images of different cameras.",
)
@click.option(
    "--figure",
    default=None,
    metavar="F.png",
    help="Also draw histograms and quick looks before and after.",
)
@common_options
def match_command(
    run: Invocation,
    raster: str,
    references: tuple[str, ...],
    output: str,
    figure: str | None,
    **options: Any,
) -> None:
    """Match the histogram of R to a reference, per band."""
    from geopointseg.radiometry.histogram_matching import match_raster

    if figure is not None:
        from geopointseg.report.radiometry_figures import require_picture

        require_picture(figure)
    done = match_raster(raster, list(references), output, reporter=run.reporter, **options)
    if figure is not None:
        from geopointseg.report.radiometry_figures import save_matching

        save_matching(done, figure)
    run.finish(done.to_json(), *done.tables(), f"Wrote {output}.")
