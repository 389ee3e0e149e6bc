"""Warnings of libraries, as sentences without source code, or suppressed."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

_LIBRARIES = ("rasterio", "fiona", "pyogrio", "matplotlib")

_ANSWERS: tuple[tuple[str, str], ...] = (
    (
        r"Glyph .* missing from",
        (
            "The fonts of this machine lack some letters of the names, so the figures show boxes instead. Install a font "
            "that has them, such as Noto Sans, and run again."
        ),
    ),
    (r"Dataset has no geotransform", ""),  # functions that need a georeference raise an error
    (r"tight_layout|constrained_layout|Tight layout", ""),  # the figure is complete
    (r"Measured \(M\) geometry types", ""),  # only x and y are used
)
"""Pattern of a library's warning, and the sentence that replaces it; empty suppresses the warning."""


def answer_warning(message: str, category: type[Warning], filename: str = "") -> str:
    """Return the sentence for the user that replaces a warning; empty where it is suppressed.

    Parameters
    ----------
    message
        The warning.
    category
        Its class. Deprecations and numeric warnings are suppressed.
    filename
        The source file that warns. Warnings of pyogrio are those of GDAL about a vector file.

    Returns
    -------
    str
        The sentence.

    Examples
    --------
    >>> answer_warning("Dataset has no geotransform, gcps, or rpcs.", UserWarning)
    ''
    >>> answer_warning("Field 'notes' was cut.", UserWarning)
    "Field 'notes' was cut."
    """
    for pattern, answer in _ANSWERS:
        if re.search(pattern, message):
            return answer
    sentence = " ".join(message.split())
    if "pyogrio" in Path(filename).parts:
        return f"GDAL warns about a vector file: {sentence}"
    for_developers = (DeprecationWarning, FutureWarning, RuntimeWarning, ResourceWarning)
    return "" if issubclass(category, for_developers) else sentence


@contextmanager
def answered_warnings(state: dict[str, Any]) -> Iterator[None]:
    """Send warnings of Python to the reporter of a command within the block, each sentence once.

    With ``--debug`` they are printed in full, and so are the logs of libraries.

    Parameters
    ----------
    state
        Holds ``reporter`` and ``debug`` of the command that runs.
    """
    told: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        sentence = answer_warning(str(message), category, filename)
        if state["debug"]:
            sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))
        elif sentence and sentence not in told:
            told.add(sentence)
            state["reporter"].warn(sentence)

    quiet = _DebugOnly(state)
    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    with warnings.catch_warnings():
        warnings.showwarning = show
        for logger in loggers:
            logger.addHandler(quiet)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeHandler(quiet)


class _DebugOnly(logging.StreamHandler[TextIO]):
    """Write log records to stderr with ``--debug`` only, because the errors of GDAL in them are also raised."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__()
        self._state = state
        self.setLevel(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        if self._state["debug"]:
            super().emit(record)
