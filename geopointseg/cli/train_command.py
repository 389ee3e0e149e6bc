"""Commands that train models: train, pretrain."""

from __future__ import annotations

from typing import Literal, get_args

import click

from geopointseg.cli.help_page import ExampleCommand
from geopointseg.cli.invocation import (
    CommandWithLists,
    Invocation,
    ListOption,
    Table,
    common_options,
    points_options,
    scene_arguments,
)
from geopointseg.cli.setting_options import settings_options

ModelKind = Literal["auto", "network", "linear", "knn", "forest"]


@click.command(
    "train",
    cls=CommandWithLists,
    examples=("geopointseg train scene.tif --points points.gpkg -o model",),
)
@scene_arguments
@points_options()
@click.option(
    "-o", "--output", required=True, metavar="MODEL_DIR", help="Folder of the model to write."
)
@settings_options(
    ("optimization", "minutes", "M"),
    ("optimization", "steps", "N"),
    ("model", "weights", "NAME|PATH|none"),
)
@click.option(
    "--model", type=click.Choice(get_args(ModelKind)), default="auto", show_default=True,
    help="Kind of model; auto keeps what scores best on held-out points, and gives the reason.",
)  # fmt: skip
@click.option(
    "--unlabelled", cls=ListOption, multiple=True, metavar="R [R ...]",
    help="Scenes without points that will be mapped; the model is adapted to them.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Continue a training that was stopped.")
@common_options
def train_command(
    run: Invocation, rasters: tuple[str, ...], points: str, class_field: str | None, layer: str | None, output: str,
    model: ModelKind, unlabelled: tuple[str, ...], resume: bool,
) -> None:  # fmt: skip
    """Train a model from rasters R and labelled points."""
    from geopointseg.labels.points import read_points
    from geopointseg.learning.training import train as train_model

    labelled = read_points(points, class_field=class_field, layer=layer)
    bundle = train_model(
        list(rasters), labelled, output=output, config=run.settings, seed=run.seed, model=model,
        unlabelled=list(unlabelled), resume=resume, device=run.device, reporter=run.reporter,
    )  # fmt: skip
    members = [{"kind": member.kind, "weight": float(member.weight)} for member in bundle.members]
    reason = str(bundle.metadata.get("reason", ""))
    result = {
        "model": str(bundle.folder),
        "legend": bundle.legend.to_json(),
        "members": members,
        "reason": reason,
        "scores": bundle.metadata.get("scores", {}),
    }
    run.finish(
        result,
        Table("Members of the model", ["kind", "weight"], [tuple(row.values()) for row in members]),
        reason,
        f"Wrote the model to {output}. Next: geopointseg predict {output} --raster {rasters[0]} -o map.tif",
    )


@click.command(
    "pretrain",
    cls=ExampleCommand,
    examples=("geopointseg pretrain scene.tif -o weights --minutes 30",),
)
@scene_arguments
@click.option(
    "-o", "--output", required=True, metavar="WEIGHTS_DIR", help="Folder of the weights to write."
)
@settings_options(("optimization", "minutes", "M"), ("optimization", "steps", "N"))
@click.option("--resume", is_flag=True, help="Continue a pretraining that was stopped.")
@common_options
def pretrain_command(run: Invocation, rasters: tuple[str, ...], output: str, resume: bool) -> None:
    """Pretrain a network on unlabelled rasters R; 'train --weights WEIGHTS_DIR' starts from it."""
    from geopointseg.learning.pretraining import pretrain as pretrain_network

    summary = pretrain_network(
        list(rasters),
        output=output,
        config=run.settings,
        seed=run.seed,
        resume=resume,
        device=run.device,
        reporter=run.reporter,
    )
    run.finish(
        summary, f"The weights are in {output}. Next: geopointseg train ... --weights {output}"
    )
