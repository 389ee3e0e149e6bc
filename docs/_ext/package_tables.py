"""Directives that write pages from the package's own tables: commands, settings, QGIS tools, messages, exceptions.

Each directive makes Markdown and parses it in place, so no generated file is kept.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import geopointseg
from geopointseg.cli.command_reference import describe_commands
from geopointseg.config import Config, choices

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
    "assessment": "Assessment and validation",
    "validation": "Assessment and validation",
    "report": "Assessment and validation",
    "lab": "Demo, studies and simulated points",
    "cli": "Command line",
}
OTHERS = "Settings and values"


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;").replace("*", "\\*")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


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
        common = set.intersection(*(set(table["options"]) for table in commands.values()))
        shared = {flag: o for flag, o in commands["train"]["options"].items() if flag in common}
        parts = ["## Options of all commands", _options(shared)]
        for name, table in commands.items():
            own = {flag: o for flag, o in table["options"].items() if flag not in common}
            parts.append(_command(name, table | {"options": own}))
        return "\n\n".join(parts)


def _command(name: str, table: dict[str, Any]) -> str:
    needed = [f"{flag} ..." for flag, o in table["options"].items() if o["required"]]
    usage = " ".join(["geopointseg", name, *table["arguments"], *needed, "[OPTIONS]"])
    text = re.sub(r"\n\s*\x08?\n", "\n\n", table["help"].replace("\x08", ""))
    lines = [f"({_slug('command ' + name)})=", f"## {name}", "", f"```text\n{usage}\n```", "", text]
    return "\n".join([*lines, "", _options(table["options"])])


def _options(options: dict[str, Any]) -> str:
    if not options:
        return ""
    lines = ["| Option | Default | Meaning |", "|---|---|---|"]
    for flag, option in options.items():
        help_text = re.sub(r"\s*\[default: [^\]]*\]", "", option["help"])
        declared = re.search(r"\[default: ([^\]]*)\]", option["help"])
        default = declared[1] if declared else option["default"]
        shown = "" if default in (None, False, "") else f"`{default}`"
        one_of = f" One of {', '.join(option['choices'])}." if option["choices"] else ""
        many = " May be given several times." if option["multiple"] else ""
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
    lines = [f"(settings-{_slug(name)})=", f"## \\[{name}\\]", "", summary, ""]
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


@dataclass(frozen=True)
class Message:
    """A sentence that the package can say: its words with placeholders, its kind, and its module."""

    text: str
    kind: str
    module: str

    @property
    def room(self) -> str:
        """Return the heading under which it stands."""
        return ROOMS.get(self.module.split("/")[0], OTHERS)

    @property
    def anchor(self) -> str:
        """Return the id of the sentence, from its first eight fixed words."""
        words = re.sub(r"\u2039[^\u203a]*\u203a", " ", self.text)
        return "-".join(_slug(words).split("-")[:8])[:70]


def find_messages() -> list[Message]:
    """Find the sentences of errors, warnings and checks in the package's source."""
    found: dict[str, Message] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for text, kind in _sentences(node):
                found.setdefault(text, Message(text, kind, module))
    return [m for m in found.values() if m.anchor and len(m.text.split()) > 3]


def _sentences(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        kind = "warning" if name in ("warn", "DataWarning") else name
        if name in ("warn", "DataWarning", "UsageError", "BadParameter", "fail") or (
            name.endswith("Error") and hasattr(geopointseg.errors, name)
        ):
            yield from ((text, kind) for each in node.args[:1] for text in _texts(each))
    elif isinstance(node, ast.Tuple) and len(node.elts) == 3:
        severity = getattr(node.elts[0], "value", None)
        if severity in ("error", "warning", "note"):
            yield from ((text, f"check: {severity}") for text in _texts(node.elts[1]))
    elif isinstance(node, (ast.Return, ast.Assign)) and node.value is not None:
        texts = [text for text in _texts(node.value) if " Expected " in text]
        yield from ((text, "message") for text in texts)


def _texts(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [" ".join(node.value.split())]
    if isinstance(node, ast.JoinedStr):
        return [" ".join("".join(map(_part, node.values)).split())]
    if isinstance(node, ast.IfExp):
        return _texts(node.body) + _texts(node.orelse)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = (
            _texts(node.left) or ["\u2039...\u203a"],
            _texts(node.right) or ["\u2039...\u203a"],
        )
        return [f"{a} {b}" for a in left for b in right]
    return []


def _part(value: ast.expr) -> str:
    if isinstance(value, ast.Constant):
        return str(value.value)
    names = [n.attr for n in ast.walk(value) if isinstance(n, ast.Attribute)]
    names = names or [n.id for n in ast.walk(value) if isinstance(n, ast.Name)]
    is_plain = isinstance(getattr(value, "value", None), (ast.Name, ast.Attribute))
    return (
        f"\u2039{names[0].strip('_').replace('_', ' ')}\u203a"
        if is_plain and names
        else "\u2039...\u203a"
    )


class Messages(SphinxDirective):
    """Every message as a list entry with an anchor, by topic."""

    def run(self) -> list[nodes.Node]:
        """Return a section a topic."""
        by_room: dict[str, list[Message]] = {}
        for message in find_messages():
            by_room.setdefault(message.room, []).append(message)
        taken: dict[str, int] = {}
        made: list[nodes.Node] = []
        for room in dict.fromkeys([*ROOMS.values(), OTHERS]):
            section = nodes.section(ids=[_slug(room)], names=[room.lower()])
            section += nodes.title(text=room)
            listed = nodes.bullet_list(classes=["messages"])
            for message in sorted(
                by_room.get(room, []), key=lambda m: m.text.strip("'\u2039").lower()
            ):
                listed += _item(message, taken)
            section += listed
            made.append(section)
        return made


def _item(message: Message, taken: dict[str, int]) -> nodes.list_item:
    taken[message.anchor] = taken.get(message.anchor, 0) + 1
    count = taken[message.anchor]
    anchor = message.anchor if count == 1 else f"{message.anchor}-{count}"
    paragraph = nodes.paragraph()
    for part in re.split(r"(\u2039[^\u203a]*\u203a)", message.text):
        is_placeholder = part.startswith("\u2039")
        paragraph += nodes.emphasis(text=part[1:-1]) if is_placeholder else nodes.Text(part)
    paragraph += nodes.Text(" ")
    paragraph += nodes.inline(text=message.kind, classes=["message-kind"])
    paragraph += nodes.reference("", "#", refuri=f"#{anchor}", classes=["message-link"])
    return nodes.list_item("", paragraph, ids=[anchor])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("commands", Commands)
    app.add_directive("settings", Settings)
    app.add_directive("qgis-tools", QgisTools)
    app.add_directive("messages", Messages)
    return {"version": "1", "parallel_read_safe": True}
