"""Names of classes, fields, layers and scenes: cleaning, and search without regard to spelling.

The same name can be encoded in several ways. Letters with accents have a composed form (NFC), in files from Windows
and Linux, and a decomposed form (NFD), in files from macOS; capitals, spaces and underscores vary. Names are converted
to NFC when they are read. A search takes the exact name first, and a similar spelling only where it is unique.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterable

from geopointseg.errors import DataWarning

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile(r"&#(?:x([0-9a-fA-F]{1,8})|([0-9]{1,10}));")
_SPACES = re.compile(r"[\t\n\r]+")


def allowed_in_xml(text: str) -> str:
    r"""Return a text, such as a whole document, without the characters that XML 1.0 forbids.

    These are most control characters, lone surrogates, U+FFFE and U+FFFF, and character references to them. XML
    parsers reject a document that contains one.

    Examples
    --------
    >>> allowed_in_xml("<a>dry\x01land&#2;</a>")
    '<a>dryland</a>'
    """
    return _REFERENCE.sub(_allowed_reference, _FORBIDDEN.sub("", text))


def clean_name(name: str) -> str:
    r"""Return a name in Unicode NFC, on one line, and without the characters that XML 1.0 forbids.

    Warns
    -----
    DataWarning
        If forbidden characters were removed.

    Examples
    --------
    >>> len("Ba\u0308ume"), len(clean_name("Ba\u0308ume"))
    (6, 5)
    """
    if name.isascii() and name.isprintable():
        return name
    allowed = _FORBIDDEN.sub("", name)
    if allowed != name:
        warnings.warn(
            f"The name {name!r} holds characters that XML 1.0 forbids, so no style or metadata could hold it. They are "
            f"removed; it is read as '{allowed}'.",
            DataWarning,
            stacklevel=2,
        )
    return unicodedata.normalize("NFC", _SPACES.sub(" ", allowed))


def printable(text: str) -> str:
    r"""Return a text on one line, in which characters that a terminal does not show or obeys are escaped.

    A file name may hold line breaks, sequences that colour or erase the terminal, and bytes that are not UTF-8.

    Examples
    --------
    >>> printable("a\x1b[31m b\n c")
    'a\\x1b[31m b\\n c'
    """
    if text.isprintable():
        return text
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(escaped)


def fold_name(name: str) -> str:
    r"""Return a normal form of a name, for comparison only.

    Names have the same form if they differ only in capitals, spaces, underscores, full-width letters, the encoding of
    accents, ß and ss, dotted and dotless i, or invisible characters.

    Examples
    --------
    >>> fold_name("Dry__Land "), fold_name("STRASSE") == fold_name("Straße")
    ('dry land', True)
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    text = unicodedata.normalize("NFKC", text).replace("\u0307", "").replace("\u0131", "i")
    visible = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return " ".join(visible.replace("_", " ").split())


class NameTable:
    """An ordered list of names with search.

    Parameters
    ----------
    names
        The names; of several equal ones the first is found.

    Examples
    --------
    >>> table = NameTable(["Forest", "forest", "Water"])
    >>> table.find("forest"), table.find("water"), table.find("FOREST")
    (1, 2, None)
    >>> table.alike("FOREST")
    ['Forest', 'forest']
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)
        self._exact: dict[str, int] = {}
        self._folded: dict[str, list[int]] = {}
        for position, name in enumerate(self._names):
            exact = unicodedata.normalize("NFC", name)
            if exact not in self._exact:
                self._exact[exact] = position
                self._folded.setdefault(fold_name(name), []).append(position)

    def find(self, name: str) -> int | None:
        """Return the position of the exact name, else of the only name with the same folded form, else None."""
        exact = self._exact.get(unicodedata.normalize("NFC", name))
        alike = self._folded.get(fold_name(name), [])
        if exact is None and len(alike) == 1:
            return alike[0]
        return exact

    def alike(self, name: str) -> list[str]:
        """Return all names with the same folded form."""
        return [self._names[position] for position in self._folded.get(fold_name(name), [])]


def _allowed_reference(found: re.Match[str]) -> str:
    code = int(found[1], 16) if found[1] else int(found[2])
    allowed = code <= 0x10FFFF and not _FORBIDDEN.fullmatch(chr(code))
    return found[0] if allowed else ""
