"""Description of the command line as JSON, from which forms are generated.

``python -m geopointseg.cli.command_reference`` prints every command with examples, arguments and options: help, default,
type, choices and group. The QGIS plugin contains this text and builds its forms from it.
"""

from __future__ import annotations

import json
from typing import Any

import click

from geopointseg import __version__
from geopointseg.cli.app import walk_commands
from geopointseg.cli.help_page import DescribedArgument, ExampleCommand


def describe_commands() -> dict[str, Any]:
    """Return all commands as ``{"version", "commands": {name: {"help", "arguments", "options"}}}``."""
    commands = {name: _describe(command) for name, command in walk_commands()}
    return {"version": __version__, "commands": commands}


def _describe(command: ExampleCommand) -> dict[str, Any]:
    options = {
        max(p.opts, key=len): {
            "help": p.help or "",
            "default": _default(p),
            "type": p.type.name,
            "choices": list(p.type.choices) if isinstance(p.type, click.Choice) else [],
            "multiple": p.multiple,
            "required": p.required,
            "flag": p.is_flag,
            "group": command.group_of(p),
        }
        for p in command.params
        if isinstance(p, click.Option)
    }
    return {
        "help": command.help or "",
        "examples": list(command.examples),
        "arguments": {
            p.human_readable_name: p.help
            for p in command.params
            if isinstance(p, DescribedArgument)
        },
        "options": options,
    }


def _default(option: click.Option) -> Any:
    """Return the default of an option as a plain value; what stands for none, also for a flag, differs between versions of click."""
    if isinstance(option.default, (str, int, float)):
        return option.default
    return False if option.is_flag and not option.secondary_opts else None


if __name__ == "__main__":
    print(json.dumps(describe_commands(), indent=1, ensure_ascii=False))  # noqa: T201 - the text is the product
