"""Names in messages, as the command line has them.

A message names what the reader of a library has, between backticks: an argument (``layer=``, ``device="cpu"``), a setting
(``[loss] gamma = 2``), or a function (``split_points(folds=5)``). The command line prints options and commands in their place,
and the QGIS plugin makes fields and tools of those.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import click

COMMANDS = {
    "assess": "assess",
    "check_points": "points check",
    "design_sample": "assess --design",
    "map_applicability": "predict --applicability",
    "predict": "predict",
    "pretrain": "pretrain",
    "split_points": "points split",
    "suggest": "suggest",
    "train": "train",
}
"""Function of the library, and the command that calls it."""

_OTHERWISE = {"training_scenes": "trained_on"}
"""Argument of a function, and the parameter of its command where that has another name."""

_QUOTES = "'\""
_CODE = re.compile(r"`([^`]+)`")
_ARGUMENT = re.compile(r"(\w+)=(.*)")
_SETTING = re.compile(r"\[(\w+)\] (\w+)(?: = (.+))?")
_FUNCTION = re.compile(r"(\w+)(?:\((.*)\))?")


def in_options(text: str, command: click.Command | None = None, *, for_a_form: bool = False) -> str:
    """Return a message with options and commands in place of arguments, settings and functions.

    Parameters
    ----------
    text
        The message of the library.
    command
        The command that runs; its options come before those of other commands.
    for_a_form
        Whether a program reads the message, which has no ``--set``: settings without an option keep their name.

    Returns
    -------
    str
        The message. Code that names nothing of the command line stays as it is.

    Examples
    --------
    >>> in_options("Name it with `class_field=`, or run without `resume=True`.")
    "Name it with '--class-field', or run without '--resume'."
    >>> in_options("`[optimization] most_passes = 0` uses the whole time.")
    "'--set optimization.most_passes=0' uses the whole time."
    >>> in_options("Make them with `split_points(folds=5)`.")
    "Make them with 'geopointseg points split --folds 5'."
    """

    def translate(found: re.Match[str]) -> str:
        said = _translated(found[1], command, for_a_form=for_a_form)
        return f"'{said}'" if said else found[0]

    return _CODE.sub(translate, text) if "`" in text else text


def _translated(code: str, command: click.Command | None, *, for_a_form: bool) -> str:
    if named := _SETTING.fullmatch(code):
        flag = _flag(f"{named[1]}__{named[2]}", command)
        value = named[3].strip(_QUOTES) if named[3] else ""
        if flag or for_a_form:
            return " ".join(filter(None, [flag, value])) if flag else code
        return f"--set {named[1]}.{named[2]}" + (f"={value}" if value else "")
    if named := _ARGUMENT.fullmatch(code):
        return _with_value(_flag(named[1], command), named[2])
    if (named := _FUNCTION.fullmatch(code)) and named[1] in COMMANDS:
        given = ast.parse(f"f({named[2] or ''})", mode="eval").body
        pairs = given.keywords if isinstance(given, ast.Call) else []
        options = [_with_value(_flag(k.arg or "", None), ast.unparse(k.value)) for k in pairs]
        return " ".join(["geopointseg", COMMANDS[named[1]], *options])
    return ""


def _with_value(flag: str, value: str) -> str:
    """Return an option with its value, which a switch does not have."""
    return f"{flag} {value.strip(_QUOTES)}" if flag and value not in ("", "True", "...") else flag


def _flag(name: str, command: click.Command | None) -> str:
    """Return the option for an argument: of this command, else of the first that has it."""
    name = _OTHERWISE.get(name, name)
    for known in [*([command] if command else []), *_all_commands()]:
        for parameter in known.params:
            if isinstance(parameter, click.Option) and parameter.name == name:
                return max(parameter.opts, key=len)
    return ""


def _all_commands() -> Iterator[click.Command]:
    from geopointseg.cli.app import walk_commands

    return (command for _, command in walk_commands())
