"""Commands on the look of scenes: match."""

from __future__ import annotations

from typing import Any

import click

from geopointseg.cli.invocation import Invocation, Table, common_options


@click.command("match")
@click.argument("raster", metavar="R")
@click.option(
    "--reference",
    "references",
    multiple=True,
    required=True,
    metavar="REF",
    help="Raster, folder, or model folder, whose look is taken; may be given several times.",
)
@click.option("-o", "--output", required=True, metavar="OUT.tif", help="Raster to write.")
@click.option(
    "--method",
    type=click.Choice(["histogram", "midpoint", "mean-std", "percentile", "equalize"]),
    default="histogram",
    show_default=True,
    help="How the look is matched.",
)
@click.option(
    "--weighting",
    type=click.Choice(["pixel", "area"]),
    default="pixel",
    show_default=True,
    help="How several references are put together: by pixels or by ground area.",
)
@click.option(
    "--invariant",
    is_flag=True,
    help="Fit only to pixels of shared ground that did not change.",
)
@click.option(
    "--mix-bands",
    is_flag=True,
    help="With --invariant: mix the bands linearly before, for images of different cameras.",
)
@click.option(
    "--figure",
    default=None,
    metavar="F.png",
    help="Also draw histograms and quick looks, before and after.",
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
    """Give raster R the histogram of a reference, band by band."""
    from geopointseg.radiometry.histogram_matching import match_raster

    if figure is not None:
        from geopointseg.report.radiometry_figures import require_picture

        require_picture(figure)
    done = match_raster(raster, list(references), output, reporter=run.reporter, **options)
    if figure is not None:
        from geopointseg.report.radiometry_figures import save_matching

        save_matching(done, figure)
    tables = [Table(title, headings, rows) for title, headings, rows in done.tables()]
    run.finish(done.to_json(), *tables, f"Wrote {output}.")
