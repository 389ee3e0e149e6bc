"""`geopointseg demo`: the typical workflow on a synthetic landscape, or on the user's data."""

from __future__ import annotations

import click

from geopointseg.cli.help_page import ExampleCommand, described_argument
from geopointseg.cli.invocation import Invocation, common_options


@click.command(
    "demo",
    cls=ExampleCommand,
    examples=("geopointseg demo",),
)
@described_argument(
    "folder", "Folder for the results, by default demo.", metavar="[DIR]", default="demo"
)
@click.option(
    "--scene", default=None, metavar="R", help="Use this raster instead of the synthetic landscape."
)
@click.option(
    "--points", default=None, metavar="P", help="Use these points, together with --scene."
)
@click.option("--class-field", default=None, help="Field with the class, text or integer.")
@click.option(
    "--minutes",
    type=float,
    default=None,
    help="Time limit of the training; by default a number of steps that takes about a minute on two cores.",
)
@click.option(
    "--embeddings",
    is_flag=True,
    help="Use a synthetic embedding in the layout of AlphaEarth as the scene.",
)
@click.option(
    "--data-only", is_flag=True, help="Write the synthetic landscape and its points, and stop."
)
@common_options
def demo_command(
    run: Invocation,
    folder: str,
    scene: str | None,
    points: str | None,
    class_field: str | None,
    minutes: float | None,
    embeddings: bool,
    data_only: bool,
) -> None:
    """Train, predict and assess in about two minutes, and write the results and a figure to DIR."""
    if (scene is None) != (points is None):
        raise click.UsageError("--scene and --points go together: a demo on your data needs both.")
    if class_field is not None and points is None:
        raise click.UsageError(
            "--class-field describes points of your own; name them with --points."
        )
    if embeddings and (scene is not None or data_only):
        raise click.UsageError(
            "--embeddings goes with neither --scene nor --data-only; leave one out."
        )
    from geopointseg.lab.demonstration import run_demo, write_demo_data

    if data_only:
        files = write_demo_data(folder, seed=run.seed)
        run.finish({"folder": folder, "files": files}, f"Wrote scene and points to {folder}.")
        return

    done = run_demo(
        folder, scene=scene, points=points, class_field=class_field, minutes=minutes, embeddings=embeddings,
        seed=run.seed, device=run.device, reporter=run.reporter,
    )  # fmt: skip
    run.finish(done.to_json(), *done.tables(), *done.sentences())
