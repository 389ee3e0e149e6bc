"""Commands that make models: train, pretrain."""

from __future__ import annotations

from typing import Any

import click

from geopointseg.cli.invocation import (
    Invocation,
    Table,
    common_options,
    points_options,
    scene_arguments,
    setting_option,
)
from geopointseg.config import Config


def read_config(config: str | None, assignments: tuple[str, ...], **options: Any) -> Config:
    """Combine a settings file, ``--set section.name=value`` and single options, the later ones winning."""
    import tomllib

    from geopointseg.errors import ConfigError

    settings = Config.read(config) if config else Config()
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        section, dot, name = key.strip().partition(".")
        if not (separator and dot):
            raise ConfigError(
                f"--set {assignment!r} is not understood. Expected section.name=value, like loss.gamma=2."
            )
        try:
            value = tomllib.loads(f"value = {text.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        settings = settings.updated({section: {name: value}})
    for key, value in options.items():
        if value is not None:
            section, _, name = key.partition("__")
            settings = settings.updated({section: {name: value}})
    return settings


def config_options(command: Any) -> Any:
    """Take a settings file and single settings."""
    command = click.option(
        "--set", "assignments", multiple=True, metavar="SECTION.NAME=VALUE",
        help="Change one setting, for example loss.gamma=2; may be given several times.",
    )(command)  # fmt: skip
    return click.option(
        "--config", default=None, metavar="C.toml", help="Settings file; see --print-config."
    )(command)


def _print_config(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's form
    if value and not ctx.resilient_parsing:
        click.echo(Config().to_toml())
        ctx.exit()


@click.command()
@scene_arguments
@points_options()
@click.option(
    "-o", "--output", required=True, metavar="MODEL_DIR", help="Folder of the model to write."
)
@config_options
@click.option(
    "--print-config", is_flag=True, is_eager=True, expose_value=False, callback=_print_config,
    help="Print all settings with their defaults and what they do, as TOML, and stop.",
)  # fmt: skip
@click.option(
    "--model", type=click.Choice(["auto", "network", "forest"]), default="auto", show_default=True,
    help="What to train; auto keeps what is best on held-out points and says why.",
)  # fmt: skip
@setting_option("optimization", "minutes", metavar="M")
@setting_option("optimization", "steps", metavar="N")
@setting_option("model", "weights", metavar="NAME|PATH|none")
@click.option(
    "--unlabelled", multiple=True, metavar="R",
    help="Scene without points that will be mapped; the model learns its look. May be given several times.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with a training that was stopped.")
@common_options
def train(
    run: Invocation, rasters: tuple[str, ...], points: str, class_field: str | None, layer: str | None, output: str,
    config: str | None, assignments: tuple[str, ...], model: str, minutes: float | None, steps: int | None,
    weights: str | None, unlabelled: tuple[str, ...], resume: bool,
) -> None:  # fmt: skip
    """Train a model from rasters R and labelled points."""
    settings = read_config(
        config,
        assignments,
        optimization__minutes=minutes,
        optimization__steps=steps,
        model__weights=weights,
    )
    from geopointseg.labels.points import read_points
    from geopointseg.learning.training import train as train_model

    labelled = read_points(points, class_field=class_field, layer=layer)
    bundle = train_model(
        list(rasters), labelled, output=output, config=settings, seed=run.seed, model=model,
        unlabelled=list(unlabelled), resume=resume, device=run.device, reporter=run.reporter,
    )  # fmt: skip
    scores = bundle.metadata.get("scores", {})
    rows = [(m.kind, float(m.weight)) for m in bundle.members]
    run.finish(
        {"model": str(bundle.folder), "legend": bundle.legend.to_json(), "scores": scores,
         "members": [{"kind": m.kind, "weight": m.weight} for m in bundle.members],
         "reason": bundle.metadata.get("reason", "")},
        Table("Members of the model", ["kind", "weight"], rows),
        str(bundle.metadata.get("reason", "")),
        f"The model is in {bundle.folder}. Next: geopointseg predict {output} --raster {rasters[0]} -o map.tif",
    )  # fmt: skip


@click.command()
@scene_arguments
@click.option(
    "-o", "--output", required=True, metavar="WEIGHTS_DIR", help="Folder of the weights to write."
)
@config_options
@setting_option("optimization", "minutes", metavar="M")
@setting_option("optimization", "steps", metavar="N")
@common_options
def pretrain(
    run: Invocation, rasters: tuple[str, ...], output: str, config: str | None, assignments: tuple[str, ...],
    minutes: float | None, steps: int | None,
) -> None:  # fmt: skip
    """Learn from unlabelled rasters R; 'train --weights WEIGHTS_DIR' starts from there."""
    settings = read_config(
        config, assignments, optimization__minutes=minutes, optimization__steps=steps
    )
    from geopointseg.learning.pretraining import pretrain as pretrain_network

    summary = pretrain_network(
        list(rasters),
        output=output,
        config=settings,
        seed=run.seed,
        device=run.device,
        reporter=run.reporter,
    )
    run.finish(
        summary, f"The weights are in {output}. Next: geopointseg train ... --weights {output}"
    )
