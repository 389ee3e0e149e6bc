"""Messages of the protocol: lines to requests, answers to lines."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geopointseg.errors import GeopointsegError, nearest_names
from geopointseg.markup import parse_json

PROTOCOL = 1
LONGEST_LINE = 1_000_000
"""Largest number of bytes of a line, its end included."""
REQUESTS = (
    "add", "remove", "move", "relabel", "points", "classes", "view", "next", "accuracy", "save",
    "state", "cancel", "quit",
)  # fmt: skip
_ID = re.compile(rb'"id"\s*:\s*(-?\d{1,18}|"[^"\\]{0,100}")')


class ProtocolError(GeopointsegError):
    """A message that is no request of the protocol."""


@dataclass(frozen=True)
class Request:
    """A request of a client.

    Parameters
    ----------
    identifier
        What answers repeat; None for a request without one.
    verb
        One of `REQUESTS`.
    body
        All keys of the message.
    """

    identifier: int | float | str | None
    verb: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Refusal:
    """A line that is no request, and the reason as a sentence."""

    identifier: int | float | str | None
    error: str


def read_line(line: bytes) -> Request | Refusal | None:
    """Return the request of a line; a refusal if it is none; None for an empty line.

    Parameters
    ----------
    line
        Without its end.

    Examples
    --------
    >>> read_line(b'{"id": 1, "do": "quit"}').verb
    'quit'
    >>> read_line(b'{"id": 1, "do": "jump"}')
    Refusal(identifier=1, error="There is no request 'jump'. ...")
    """
    if not line.strip():
        return None
    try:
        body = parse_json(line, parse_constant=_refuse_constant, parse_float=_read_float)
    except OverflowError as error:
        return Refusal(
            find_id(line),
            f"The line holds the number {error}. Expected numbers of at most 1.8 x 10^308.",
        )
    except ValueError:
        shown = line[:40].decode("utf-8", "replace")
        return Refusal(
            find_id(line),
            f"The line {shown!r} is no JSON. Expected one JSON object per line in UTF-8.",
        )
    if not isinstance(body, dict):
        return Refusal(None, "The line is no JSON object. Expected an object with the key 'do'.")
    return _read_body(body)


def _read_body(body: dict[str, Any]) -> Request | Refusal:
    identifier, verb = body.get("id"), body.get("do")
    if isinstance(identifier, bool) or not isinstance(identifier, (int, float, str, type(None))):
        return Refusal(None, "The 'id' is no number or text. Expected a number or a text.")
    if not isinstance(verb, str):
        return Refusal(identifier, "The request has no 'do'. Expected the name of a request.")
    if verb not in REQUESTS:
        near = nearest_names(verb[:40], REQUESTS)
        return Refusal(identifier, f"There is no request '{verb[:40]}'. {near}")
    return Request(identifier, verb, body)


def refuse_long(start: bytes) -> Refusal:
    """Return the refusal of a line that is too long, of which the start is known."""
    return Refusal(
        find_id(start),
        f"The line is longer than {LONGEST_LINE} bytes and was skipped. Expected at most {LONGEST_LINE} bytes; send fewer "
        "points at once.",
    )


def find_id(start: bytes) -> int | str | None:
    """Return the ``id`` that the start of a damaged line contains; None if there is none."""
    found = _ID.search(start[:2000])
    if found is None:
        return None
    value = found.group(1)
    return value[1:-1].decode("utf-8", "replace") if value.startswith(b'"') else int(value)


def write_line(identifier: float | str | None, content: Mapping[str, Any]) -> bytes:
    """Return an answer as a line with its end.

    Parameters
    ----------
    identifier
        That of the request; None is left out.
    content
        All other keys.
    """
    row = content if identifier is None else {"id": identifier, **content}
    text = json.dumps(row, ensure_ascii=False, allow_nan=False, default=str)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _read_float(text: str) -> float:
    """Return a number, or raise `OverflowError`: infinity cannot be answered in JSON."""
    value = float(text)
    if math.isinf(value):
        raise OverflowError(text[:20])
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(name)
