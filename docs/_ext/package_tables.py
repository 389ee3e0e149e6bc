"""Directives that write pages from the package's own tables: commands, settings, QGIS tools, messages, exceptions.

Each directive makes Markdown and parses it in place, so no generated file is kept.
"""

from __future__ import annotations

import dataclasses
import json
import re
from abc import abstractmethod
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import geopointseg
from geopointseg.cli.command_reference import describe_commands
from geopointseg.cli.help_page import COMMON, FINE, NEEDED
from geopointseg.cli.option_names import in_options
from geopointseg.config import Config, choices
from geopointseg.message_catalogue import Message, find_messages, slug

PACKAGE = Path(geopointseg.__file__).parent
PLUGIN = PACKAGE.parent / "qgis_plugin"

ROOMS = {
    "labels": "Points, class fields and layers",
    "raster": "Rasters and files",
    "bands": "Bands, dates and sensors",
    "radiometry": "Matching of scenes",
    "config": "Settings and values",
    "model": "Models and weights",
    "sampling": "Training",
    "learning": "Training",
    "prediction": "Prediction",
    "live": "Live session",
    "legend.py": "Points, class fields and layers",
    "vector_source.py": "Points, class fields and layers",
    "assessment": "Assessment and validation",
    "validation": "Assessment and validation",
    "report": "Assessment and validation",
    "lab": "Demo, studies and simulated points",
    "cli": "Command line",
}
OTHERS = "Settings and values"


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;").replace("*", "\\*")


class _Generated(SphinxDirective):
    """A directive whose content is Markdown from `markdown`."""

    @abstractmethod
    def markdown(self) -> str:
        """Return the text."""

    def run(self) -> list[nodes.Node]:
        """Parse the text where the directive stands."""
        return self.parse_text_to_nodes(self.markdown(), allow_section_headings=True)


class Commands(_Generated):
    """Every command with its arguments and options."""

    def markdown(self) -> str:
        """Return one section a command."""
        commands = describe_commands()["commands"]
        options = commands["train"]["options"].items()
        shared = {flag: option for flag, option in options if option["group"] == COMMON}
        sections = [_command(name, table) for name, table in commands.items()]
        return "\n\n".join([f"## {COMMON}", _options(shared, {}), *sections])


def _command(name: str, table: dict[str, Any]) -> str:
    needed = [f"{flag} ..." for flag, o in table["options"].items() if o["required"]]
    usage = " ".join(["geopointseg", name, *table["arguments"], *needed, "[OPTIONS]"])
    examples = "\n".join(table["examples"])
    summary, _, details = table["help"].partition("\n\n")
    lines = [f"({slug('command ' + name)})=", f"## {name}", "", summary, ""]
    lines += [f"```sh\n{examples}\n```", "", f"```text\n{usage}\n```", "", details]
    for group in (NEEDED, FINE):
        options = {flag: o for flag, o in table["options"].items() if o["group"] == group}
        arguments = table["arguments"] if group == NEEDED else {}
        lines += (
            ["", f"**{group}**", "", _options(options, arguments)] if options or arguments else []
        )
    return "\n".join(lines)


def _options(options: dict[str, Any], arguments: dict[str, str]) -> str:
    lines = ["| Option | Default | Meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | | {_cell(text)} |" for name, text in arguments.items()]
    for flag, option in options.items():
        help_text = re.sub(r"\s*\[default: [^\]]*\]", "", option["help"])
        declared = re.search(r"\[default: ([^\]]*)\]", option["help"])
        default = declared[1] if declared else option["default"]
        shown = "" if default in (None, False, "") else f"`{default}`"
        one_of = f" One of {', '.join(option['choices'])}." if option["choices"] else ""
        is_told = "several times" in help_text or not option["multiple"]
        many = "" if is_told else " May be given several times."
        lines.append(f"| `{flag}` | {shown} | {_cell(help_text + one_of + many)} |")
    return "\n".join(lines)


class Settings(_Generated):
    """Every setting with its default and meaning, by section."""

    def markdown(self) -> str:
        """Return one section a table of the settings file."""
        return "\n\n".join(_section(field.name) for field in dataclasses.fields(Config))


def _section(name: str) -> str:
    section = getattr(Config(), name)
    summary = (type(section).__doc__ or "").strip().splitlines()[0]
    lines = [f"(settings-{slug(name)})=", f"## \\[{name}\\]", "", summary, ""]
    lines += ["| Setting | Default | Meaning |", "|---|---|---|"]
    for field in dataclasses.fields(section):
        default = json.dumps(getattr(section, field.name), default=list)
        limits = " to ".join(
            f"{v:g}" for k in ("minimum", "maximum") if (v := field.metadata[k]) is not None
        )
        words = choices(name, field.name)
        extra = f" One of {', '.join(words)}." if words else f" Range: {limits}." if limits else ""
        lines.append(f"| `{field.name}` | `{default}` | {_cell(field.metadata['help'] + extra)} |")
    return "\n".join(lines)


class QgisTools(_Generated):
    """Every algorithm of the plugin with its parameters."""

    def markdown(self) -> str:
        """Return one section an algorithm."""
        tools = json.loads((PLUGIN / "algorithms.json").read_text("utf-8"))
        return "\n\n".join(_tool(tool) for tool in tools["algorithms"])


def _tool(tool: dict[str, Any]) -> str:
    lines = [f"(qgis-{tool['name']})=", f"## {tool['label']}", ""]
    lines += [f"`geopointseg:{tool['name']}`, group *{tool['group']}*. {tool.get('help', '')}", ""]
    lines += ["| Parameter | Field | Option of the command |", "|---|---|---|"]
    for parameter in tool["parameters"]:
        name, _, option, label, *_ = [*parameter, "", "", ""]
        shown = f"`{option}`" if str(option).startswith("--") else ""
        lines.append(f"| `{name}` | {_cell(label)} | {shown} |")
    return "\n".join(lines)


class Messages(SphinxDirective):
    """Every message as a list entry with an anchor, by topic."""

    def run(self) -> list[nodes.Node]:
        """Return a section a topic."""
        by_room: dict[str, list[Message]] = {}
        for message in find_messages():
            by_room.setdefault(room_of(message), []).append(message)
        made: list[nodes.Node] = []
        for room in dict.fromkeys([*ROOMS.values(), OTHERS]):
            section = nodes.section(ids=[slug(room)], names=[room.lower()])
            section += nodes.title(text=room)
            listed = nodes.bullet_list(classes=["messages"])
            for message in sorted(by_room.get(room, []), key=lambda m: m.anchor):
                listed += _item(message)
            section += listed
            made.append(section)
        return made


def room_of(message: Message) -> str:
    """Return the heading under which a message stands."""
    return ROOMS.get(message.module.split("/")[0], OTHERS)


def _item(message: Message) -> nodes.list_item:
    paragraph = nodes.paragraph()
    for part in re.split(r"(\u2039[^\u203a]*\u203a|`[^`]+`)", message.text):
        paragraph += _text_nodes(part)
    paragraph += nodes.Text(" ")
    paragraph += nodes.inline(text=message.kind, classes=["message-kind"])
    paragraph += nodes.reference("", "#", refuri=f"#{message.anchor}", classes=["message-link"])
    return nodes.list_item("", paragraph, ids=[message.anchor])


def _text_nodes(part: str) -> list[nodes.Node]:
    """Return a value in italics, a name as it is in a shell and in Python, or plain text."""
    if part.startswith("\u2039"):
        return [nodes.emphasis(text=part[1:-1])]
    in_shell = in_options(part).strip("'")
    if not part.startswith("`") or in_shell == part:
        return [nodes.Text(part)]
    python = nodes.literal(text=part.strip("`"))
    return [nodes.literal(text=in_shell), nodes.Text(" (Python: "), python, nodes.Text(")")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("commands", Commands)
    app.add_directive("settings", Settings)
    app.add_directive("qgis-tools", QgisTools)
    app.add_directive("messages", Messages)
    return {"version": "1", "parallel_read_safe": True}
