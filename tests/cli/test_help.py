"""Help of every command: what it does, an example that its own parser takes, and options in groups."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from geopointseg.cli.app import app, walk_commands
from geopointseg.cli.help_page import COMMON, FINE, NEEDED

COMMANDS = dict(walk_commands())


def words_of(example: str) -> list[str]:
    """Return the words of a command line behind its last pipe, without the name of the program."""
    program, *words = shlex.split(example.rpartition(" | ")[2])
    assert program == "geopointseg"
    return words


def help_lines(name: str, command: click.Command) -> list[str]:
    context = click.Context(command, info_name=f"geopointseg {name}".strip())
    return command.get_help(context).splitlines()


@pytest.mark.parametrize("name", COMMANDS)
def test_each_example_is_parsed_by_its_command(name: str) -> None:
    command = COMMANDS[name]
    assert command.examples
    for example in command.examples:
        words = words_of(example)
        count = len(name.split())
        assert words[:count] == name.split()
        context = command.make_context(name, words[count:])
        assert all(context.params[p.name] is not None for p in command.params if p.required)


@pytest.mark.parametrize("name", ["", "points"])
def test_examples_of_groups_are_examples_of_commands(name: str) -> None:
    group = app if not name else app.get_command(click.Context(app), name)
    for example in group.examples:
        words = words_of(example)
        command = COMMANDS.get(words[0]) or COMMANDS[" ".join(words[:2])]
        command.make_context("", words[1 if words[0] in COMMANDS else 2 :])
    lines = help_lines(name, group)
    assert lines.index(f"  {group.examples[0]}") < lines.index("Commands:")
    shown = " ".join(" ".join(lines).split())
    for each in group.list_commands(click.Context(group)):
        known = group.get_command(click.Context(group), each)
        assert f"{each} {' '.join(known.help.partition(chr(10) * 2)[0].split())}" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_the_example_before_usage_and_every_parameter_once_in_its_group(
    name: str,
) -> None:
    command = COMMANDS[name]
    context = click.Context(command)
    title, sections = "", {"": ""}
    for line in help_lines(name, command):
        if line and not line[0].isspace():
            title = line.removesuffix(":").partition(" geopointseg ")[0]
            sections[title] = ""
        sections[title] += f"{line}\n"
    groups = {command.group_of(p) for p in command.params}
    present = [group for group in (NEEDED, FINE, COMMON) if group in groups]
    assert list(sections) == ["", f"Example{'s' * (len(command.examples) > 1)}", "Usage:", *present]
    for parameter in command.get_params(context):
        is_option = isinstance(parameter, click.Option)
        entry = max(parameter.opts, key=len) if is_option else parameter.make_metavar(context)
        assert re.search(
            rf"(?m)^  (-\w, )?{re.escape(entry)}\b|^  {re.escape(entry)}",
            sections[command.group_of(parameter)],
        )
        assert parameter.help
    used = {w for e in command.examples for w in words_of(e) if w.startswith("-")}
    fine = {flag for p in command.params if command.group_of(p) == FINE for flag in p.opts}
    assert not used & fine
    assert {p.name for p in command.params if command.group_of(p) == COMMON} == {
        "seed", "device", "progress", "as_json", "quiet", "debug",
    }  # fmt: skip
