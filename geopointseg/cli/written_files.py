"""A refusal of outputs that would replace what a command reads, before it starts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import click

from geopointseg.errors import OutputError

_WRITTEN = {"output", "probabilities", "uncertainty", "figure"}
_WRITTEN_BY_PREDICT = _WRITTEN | {"applicability"}


def refuse_replacing_inputs(context: click.Context, files: Iterable[tuple[str, str]]) -> None:
    """Raise `OutputError` if an output is a file that the command reads, or lies in a model folder that it reads.

    Parameters
    ----------
    context
        Of the command.
    files
        Name of the parameter and path of each file or folder that the command was given.
    """
    written = _WRITTEN_BY_PREDICT if context.command.name == "predict" else _WRITTEN
    rows = list(files)
    outputs = [(name, path) for name, path in rows if name in written]
    inputs = [path for name, path in rows if name not in written]
    for name, path in outputs:
        if path.endswith(("/", os.sep)) and not _is_folder(context, name):
            raise OutputError(
                f"The output '{path}' ends like the name of a folder. Expected the path of a file; name one in it."
            )
        for model in filter(_is_model, inputs):
            if Path(os.path.realpath(model)) in Path(os.path.realpath(path)).parents:
                raise OutputError(
                    f"The output '{path}' lies in the model folder '{model}', which is read. Expected a place outside of it, so "
                    "that the model stays whole; choose another folder."
                )
    places = [path for _, path in outputs]
    if context.command.name == "predict":
        places += [_style(path) for name, path in outputs if name == "output"]
    places = [place for place in places if os.path.isfile(place)]  # noqa: PTH113 - as below
    if places:
        from geopointseg.raster.publishing import refuse_overwriting_inputs

        refuse_overwriting_inputs(places, [*inputs, *map(_style, inputs)])


def _is_folder(context: click.Context, name: str) -> bool:
    """Whether an output is a folder, by its placeholder."""
    return any(
        parameter.name == name and (parameter.metavar or "").endswith("DIR")
        for parameter in context.command.params
    )


def _is_model(path: str) -> bool:
    return os.path.isfile(os.path.join(path, "model.json"))  # noqa: PTH113, PTH118 - Path fails on long names


def _style(path: str) -> str:
    """Return the path of the style beside a file."""
    return os.path.splitext(path)[0] + ".qml"  # noqa: PTH122 - as above
