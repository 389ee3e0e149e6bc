"""Description of the command line as JSON, from which forms are generated.

``python -m geopointseg.cli.command_reference`` prints every command with its arguments and options: help, default,
type and choices. The QGIS plugin contains this text and builds its forms from it.
"""

from __future__ import annotations

import json
from typing import Any

import click

from geopointseg import __version__
from geopointseg.cli.app import app


def describe_commands() -> dict[str, Any]:
    """Return all commands as ``{"version", "commands": {name: {"help", "arguments", "options"}}}``."""
    commands: dict[str, Any] = {}
    context = click.Context(app)
    for name in app.list_commands(context):
        command = app.get_command(context, name)
        if isinstance(command, click.Group):
            for sub_name, sub_command in command.commands.items():
                commands[f"{name} {sub_name}"] = _describe(sub_command)
        elif command is not None:
            commands[name] = _describe(command)
    return {"version": __version__, "commands": commands}


def _describe(command: click.Command) -> dict[str, Any]:
    arguments = [p.human_readable_name for p in command.params if isinstance(p, click.Argument)]
    options = {
        max(p.opts, key=len): {
            "help": p.help or "",
            "default": _plain(p.default),
            "type": p.type.name,
            "choices": list(p.type.choices) if isinstance(p.type, click.Choice) else [],
            "multiple": p.multiple,
            "required": p.required,
            "flag": p.is_flag,
        }
        for p in command.params
        if isinstance(p, click.Option)
    }
    return {"help": command.help or "", "arguments": arguments, "options": options}


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else None


if __name__ == "__main__":
    print(json.dumps(describe_commands(), indent=1, ensure_ascii=False))  # noqa: T201 - the text is the product
