"""Options for settings; help, choices and defaults come from `geopointseg.config`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from geopointseg.config import Config, choices, default_value, help_text
from geopointseg.errors import ConfigError
from geopointseg.markup import parse_toml

Command = Callable[..., None]


def setting_option(
    section: str,
    name: str,
    flag: str | None = None,
    *,
    destination: str | None = None,
    **attributes: Any,
) -> Callable[[Command], Command]:
    """Return an option for one setting.

    The option defaults to None (not given), so that its default does not override a settings file or the settings of a
    model.

    Parameters
    ----------
    section, name
        The setting.
    flag
        Flag of the option; by default ``--NAME``.
    destination
        Name of the argument of the command; by default the name of the setting.
    **attributes
        Further arguments of `click.option`.

    Returns
    -------
    callable
        Decorator of a command.
    """
    default = default_value(section, name)
    allowed = choices(section, name)
    kind = click.Choice(allowed) if allowed else type(default)
    flag = flag or "--" + name.replace("_", "-")
    text = f"{help_text(section, name)}  [default: {default}]"
    declared: dict[str, Any] = {"type": kind, "default": None, "help": text}
    return click.option(flag, destination or name, **(declared | attributes))


def settings_options(
    *named: tuple[str, str] | tuple[str, str, str],
) -> Callable[[Command], Command]:
    """Add ``--config``, ``--set``, ``--bands``, ``--print-config`` and an option for each named setting.

    Their values become `Invocation.settings` (see `gather_settings`), not arguments of the command.

    Parameters
    ----------
    *named
        Section, name and, for the help, a placeholder of the value.

    Returns
    -------
    callable
        Decorator of a command.
    """

    def decorate(command: Command) -> Command:
        for section, name, *metavar in reversed(named):
            shown = {"metavar": metavar[0]} if metavar else {}
            option = setting_option(section, name, destination=f"{section}__{name}", **shown)
            command = option(command)
        command = click.option(
            "--bands", "scene__bands", default=None, metavar="B,B...",
            help="Bands to use: numbers from 1 or names, separated by commas; all by default.",
        )(command)  # fmt: skip
        command = click.option(
            "--print-config", is_flag=True, is_eager=True, expose_value=False, callback=_print_config,
            help="Print all settings with their defaults and help as TOML, and stop.",
        )(command)  # fmt: skip
        command = click.option(
            "--set", "assignments", multiple=True, metavar="SECTION.NAME=VALUE",
            help="Change one setting, for example loss.gamma=2; may be given several times.",
        )(command)  # fmt: skip
        return click.option(
            "--config", default=None, metavar="C.toml", help="Settings file; see --print-config."
        )(command)

    return decorate


def gather_settings(arguments: dict[str, Any]) -> Config:
    """Remove the settings from the arguments of a command, and return them.

    Single options override ``--set``, which overrides the settings file.
    """
    path = arguments.pop("config", None)
    settings = Config.read(path) if path else Config()
    for assignment in arguments.pop("assignments", ()):
        settings = settings.updated(_parse_assignment(assignment))
    if arguments.get("optimization__minutes") and arguments.get("optimization__steps"):
        raise click.UsageError(
            "Both '--minutes' and '--steps' were given. Expected one of them: a training lasts by time or by steps."
        )
    for key in [key for key in arguments if "__" in key]:
        value = arguments.pop(key)
        section, _, name = key.partition("__")
        if value is not None:
            value = (
                _split_names(value) if isinstance(default_value(section, name), tuple) else value
            )
            settings = settings.updated({section: {name: value}})
            if (section, name) == ("optimization", "minutes"):
                settings = settings.updated({section: {"steps": 0}})
    return settings


def _split_names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _parse_assignment(assignment: str) -> dict[str, dict[str, Any]]:
    key, separator, text = assignment.partition("=")
    section, dot, name = key.strip().partition(".")
    if not (separator and dot):
        raise ConfigError(
            f"--set {assignment!r} is not understood. Expected section.name=value, like loss.gamma=2."
        )
    try:
        return {section: {name: parse_toml(f"value = {text.strip()}")["value"]}}
    except ValueError:
        return {section: {name: text.strip()}}


def _print_config(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(Config().to_toml())
        ctx.exit()
