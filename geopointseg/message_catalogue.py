"""Messages of the package with their anchors on the troubleshooting page, found in the source code.

Where the environment variable ``GEOPOINTSEG_SITE`` holds the address of the documentation, or the folder of a local build,
every error ends with a link to its entry: in a shell and in QGIS after the message, in Python below the traceback.
"""

from __future__ import annotations

import ast
import builtins
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

SITE_VARIABLE = "GEOPOINTSEG_SITE"
PAGE = "how-to/troubleshooting.html"

_PACKAGE = Path(__file__).parent
_PLACEHOLDER = re.compile("\u2039[^\u203a]*\u203a")
_WARNINGS = ("warn", "DataWarning")
_REFUSALS = ("UsageError", "BadParameter", "fail")
_ANCHOR_WORDS, _LONGEST_ANCHOR = 8, 70


@dataclass(frozen=True)
class Message:
    """A sentence that the package can say.

    Parameters
    ----------
    text
        The sentence; values stand as names between angle quotation marks.
    kind
        Class of the exception, or ``warning``, ``message``, ``check: error`` ...
    module
        Source file, relative to the package.
    anchor
        Id on the troubleshooting page; unique.
    """

    text: str
    kind: str
    module: str
    anchor: str

    def fits(self, said: str) -> bool:
        """Return whether a message with values, or its beginning, is this sentence."""
        fixed = _PLACEHOLDER.split(self.text)
        if not said.startswith(fixed[0]) or any(part not in said for part in fixed):
            return False
        return re.match(".*?".join(map(re.escape, fixed)), said, re.DOTALL) is not None

    @property
    def fixed_length(self) -> int:
        """Number of characters that are no values."""
        return len(_PLACEHOLDER.sub("", self.text))


@lru_cache(maxsize=1)
def find_messages() -> tuple[Message, ...]:
    """Return the sentences of errors, warnings and checks in the source of the package, each once."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(_PACKAGE.rglob("*.py")):
        module = path.relative_to(_PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for text, kind in _sentences(node):
                found.setdefault(text, (kind, module))
    taken: dict[str, int] = {}
    messages = []
    for text, (kind, module) in found.items():
        anchor = _anchor(text)
        if anchor and len(text.split()) > 3:
            taken[anchor] = taken.get(anchor, 0) + 1
            unique = anchor if taken[anchor] == 1 else f"{anchor}-{taken[anchor]}"
            messages.append(Message(text, kind, module, unique))
    return tuple(messages)


def link_to(said: str) -> str:
    """Return the address of a message's explanation; empty where the address of the site is not known.

    Parameters
    ----------
    said
        The message, with values.

    Returns
    -------
    str
        Address of the entry, or of the whole page for a message that is not in the source.
    """
    site = os.environ.get(SITE_VARIABLE, "").strip().rstrip("/")
    if not site:
        return ""
    if "://" not in site:
        site = Path(site).absolute().as_uri()
    sentence = " ".join(said.split())
    fitting = [message for message in find_messages() if message.fits(sentence)]
    if not fitting:
        return f"{site}/{PAGE}"
    return f"{site}/{PAGE}#{max(fitting, key=lambda message: message.fixed_length).anchor}"


def slug(text: str) -> str:
    """Return a text in lower case with hyphens in place of everything but letters and digits."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _anchor(text: str) -> str:
    """Return the id of a sentence, from its first fixed words."""
    words = slug(_PLACEHOLDER.sub(" ", text)).split("-")
    return "-".join(words[:_ANCHOR_WORDS])[:_LONGEST_ANCHOR].rstrip("-")


def _sentences(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        kind = "warning" if name in _WARNINGS else name
        is_own_error = re.fullmatch("[A-Z].*Error", name) and not hasattr(builtins, name)
        if is_own_error or name in (*_WARNINGS, *_REFUSALS):
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
        left = _texts(node.left) or ["\u2039...\u203a"]
        right = _texts(node.right) or ["\u2039...\u203a"]
        return [f"{a} {b}" for a in left for b in right]
    return []


def _part(value: ast.expr) -> str:
    if isinstance(value, ast.Constant):
        return str(value.value)
    names = [n.attr for n in ast.walk(value) if isinstance(n, ast.Attribute)]
    names = names or [n.id for n in ast.walk(value) if isinstance(n, ast.Name)]
    is_plain = isinstance(getattr(value, "value", None), (ast.Name, ast.Attribute))
    shown = names[0].strip("_").replace("_", " ").lower() if is_plain and names else "..."
    return f"\u2039{shown}\u203a"
