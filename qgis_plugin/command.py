"""Command lines, the child's environment and its events: everything that needs no QGIS."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .tasks import Task, load_table

LONGEST_LINE = 1_000_000
TAIL = ("--progress", "json", "--json")
FOREIGN = re.compile(load_table("algorithms.json")["foreign"])


def build(task: Task, values: Mapping[str, Any]) -> list[str]:
    """Return the arguments of ``geopointseg`` for these values.

    What is empty is left out, and what the library does anyway: a settings file is not overruled.
    """
    arguments, options = [], []
    for parameter in task.parameters:
        value = values.get(parameter.name)
        if parameter.is_own or value in (None, "", [], parameter.documented.get("default")):
            continue
        if parameter.kind == "flag":
            on, _, off = parameter.option.partition("/")
            options += [name for name in (on if value else off,) if name]
            continue
        items = [str(item) for item in (value if isinstance(value, list) else [value])]
        if parameter.option.startswith("-"):
            options += [part for item in items for part in (parameter.option, item)]
        else:
            arguments += items
    return [*task.command, *arguments, *options, *TAIL]


def clean_environment(inherited: Mapping[str, str], proxy: str = "") -> dict[str, str]:
    """Return the child's environment: nothing of QGIS's Python, PROJ or GDAL, and its proxy."""
    kept = {name: value for name, value in inherited.items() if not FOREIGN.fullmatch(name)}
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy)
    return {**kept, **load_table("algorithms.json")["environment"], **(proxies if proxy else {})}


class LineBuffer:
    """Cuts a stream of bytes into lines; chunks may end anywhere, in the middle of a letter too."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that this chunk completes."""
        *whole, self._rest = (self._rest + chunk).replace(b"\r", b"\n").split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            whole, self._rest = [*whole, self._rest], b""
        return [text for text in (line.decode("utf-8", "replace") for line in whole) if text.strip()]

    def close(self) -> list[str]:
        """Return what was left without a line end."""
        return self.feed(b"\n")


def parse_event(line: str) -> dict[str, Any]:
    """Return a line of the child's stderr as an event; what is none becomes a plain line."""
    event = parse_result(line) or {}
    return event if isinstance(event.get("event"), str) else {"event": "line", "message": line}


def parse_result(text: str) -> dict[str, Any] | None:
    """Return the result that the child printed, or None where it printed none."""
    try:
        result = json.loads(text)
    except ValueError:
        return None
    return result if isinstance(result, dict) else None


def look_up(result: Mapping[str, Any], key: str) -> Any:
    """Return ``result[a][b]`` for the key ``"a.b"``, None where there is no such thing."""
    found: Any = result
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
