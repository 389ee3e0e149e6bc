"""The commands of the command line, and the files that each of them reads and writes.

Commands, options and their types come from the command line itself; only a line that works is written here for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import click

from geopointseg.cli.app import app

COMMON = {"seed", "device", "progress", "as_json", "quiet", "debug", "print_config"}
VALUES = {
    None, "N", "M", "K", "F", "PX", "X Y", "B,B...", "NAME,NAME...", "SECTION.NAME=VALUE", "ADDRESS", "LIST",
}  # fmt: skip
"""Placeholders of options whose values are no files."""


@dataclass(frozen=True)
class CommandLine:
    """A command line that works: ``{slot}`` stands for a file, whose kind is given by slot.

    Parameters
    ----------
    line
        The arguments that are always given; outputs are written as ``out/NAME``.
    files
        Kind of file by slot; of the slots in ``line`` and in ``extra``.
    extra
        Options that are given only to try the file of a slot.
    parameters
        Name of the parameter by slot, where they differ.
    """

    line: str
    files: Mapping[str, str]
    extra: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


LINES: dict[str, CommandLine] = {
    "demo": CommandLine(
        "{folder} --scene {scene} --points {points}",
        {"folder": "any folder", "scene": "raster", "points": "points"},
    ),
    "doctor": CommandLine("", {}),
    "points check": CommandLine(
        "{points} --raster {rasters}",
        {"points": "points", "rasters": "raster", "output": "gpkg", "config": "settings"},
        {"output": "-o {output}", "config": "--config {config}"},
    ),
    "points simulate": CommandLine(
        "{masks} -o {output} --per-class 3",
        {"masks": "mask", "output": "gpkg", "like": "grid", "palette": "palette"},
        {"like": "--like {like}", "palette": "--palette {palette}"},
    ),
    "points split": CommandLine(
        "{points} -o {output} --block-size-m 100 --folds 3", {"points": "points", "output": "gpkg"}
    ),
    "points rasterize": CommandLine(
        "{points} --like {like} -o {output}", {"points": "points", "like": "grid", "output": "tif"}
    ),
    "train": CommandLine(
        "{rasters} --points {points} -o {output} --model forest --set forest.trees=10",
        {
            "rasters": "raster", "points": "points", "output": "folder", "unlabelled": "raster", "config": "settings",
            "weights": "weights",
        },
        {
            "unlabelled": "--unlabelled {unlabelled}",
            "config": "--config {config}",
            "weights": "--model network --steps 1 --weights {weights}",
        },
        {"weights": "model__weights"},
    ),
    "pretrain": CommandLine(
        "{rasters} -o {output} --steps 1",
        {"rasters": "raster", "output": "folder", "config": "settings"},
        {"config": "--config {config}"},
    ),
    "predict": CommandLine(
        "{models} --raster {rasters} -o {output}",
        {
            "models": "model", "rasters": "raster", "output": "tif", "probabilities": "tif", "uncertainty": "tif",
            "applicability": "tif", "trained_on": "raster", "aoi": "area", "companion": "embedding",
        },
        {
            "probabilities": "--probabilities {probabilities}",
            "uncertainty": "--uncertainty {uncertainty}",
            "applicability": "--applicability {applicability}",
            "trained_on": "--applicability out/a.tif --trained-on {trained_on}",
            "aoi": "--aoi {aoi}",
            "companion": "--companion {companion}",
        },
    ),
    "export": CommandLine("{model} -o {output}", {"model": "network", "output": "onnx"}),
    "assess": CommandLine(
        "{map_path} --points {points} --force",
        {
            "map_path": "map", "points": "points", "output": "html", "strata": "map", "raster": "raster",
            "model": "model", "training": "points", "applicability": "map", "figures": "any folder",
        },
        {
            "output": "-o {output}",
            "strata": "--strata {strata} --sampling stratified",
            "raster": "--raster {raster} -o out/r.html",
            "model": "--model {model} -o out/r.html",
            "training": "--training {training} -o out/r.html",
            "applicability": "--applicability {applicability} -o out/r.html",
            "figures": "--figures {figures} -o out/r.html",
        },
    ),
    "validate": CommandLine(
        "{rasters} --points {points} --model forest --folds 2",
        {"rasters": "raster", "points": "points", "output": "html", "config": "settings"},
        {"output": "-o {output}", "config": "--config {config}"},
    ),
    "suggest": CommandLine(
        "{models} --raster {rasters} --count 3 --min-distance-m 5 -o {output}",
        {"models": "model", "rasters": "raster", "output": "gpkg", "points": "points"},
        {"points": "--points {points}"},
    ),
    "similar": CommandLine(
        "{rasters} --points {points} -o {output}",
        {"rasters": "embedding", "points": "points", "output": "tif", "config": "settings"},
        {"config": "--config {config}"},
    ),
    "match": CommandLine(
        "{raster} --reference {references} -o {output}",
        {"raster": "raster", "references": "raster", "output": "tif", "figure": "png"},
        {"figure": "--figure {figure}"},
    ),
    "study": CommandLine("{study_file} -o {output} --quick", {"study_file": "study", "output": "any folder"}),
    "live": CommandLine(
        "--raster {rasters} --points {points}",
        {"rasters": "raster", "points": "points", "config": "settings"},
        {"config": "--config {config}"},
    ),
    "bench": CommandLine("points", {}),
}  # fmt: skip

OUTPUTS = {
    "tif": "out.tif",
    "gpkg": "out.gpkg",
    "html": "out.html",
    "onnx": "out.onnx",
    "png": "out.png",
    "folder": "made",
    "any folder": "made",
}
"""Kinds of files that are written, and the name of a new one."""

SLOW = {"demo", "export", "train", "pretrain", "validate", "study", "suggest", "live"}
"""Commands that need seconds when nothing is wrong: only what they refuse is tried."""


def leaf_commands() -> Iterator[tuple[str, click.Command]]:
    """Yield the name and the command of each command of the command line."""
    context = click.Context(app)
    for name in app.list_commands(context):
        command = app.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            inner = click.Context(command)
            for part in command.list_commands(inner):
                found = command.get_command(inner, part)
                assert found is not None
                yield f"{name} {part}", found
        else:
            yield name, command


def named_files(command: click.Command) -> set[str]:
    """Return the parameters of a command that name a file or a folder."""
    return {
        str(p.name)
        for p in command.params
        if p.name not in COMMON
        and isinstance(p.type, click.types.StringParamType)
        and (p.metavar not in VALUES)
    }
