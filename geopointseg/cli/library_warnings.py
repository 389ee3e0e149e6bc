"""Warnings of libraries, told like our own or not at all: never with a line of somebody's source code."""

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
    (r"Dataset has no geotransform", ""),  # who needs a georeference says so
    (
        r"tight_layout|constrained_layout|Tight layout",
        "",
    ),  # a figure with long names is drawn all the same
    (r"Measured \(M\) geometry types", ""),  # only x and y count
)
"""What is said instead of a library's warning; nothing where it says nothing to the user."""


def answer_warning(message: str, category: type[Warning], filename: str = "") -> str:
    """Return what the user is told of a warning; empty where it is not meant for users.

    Parameters
    ----------
    message
        The warning.
    category
        Its kind. Deprecations and numeric warnings are for developers.
    filename
        The source file that warns. What pyogrio warns of was said by GDAL of a vector file.

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
        return f"GDAL says of a vector file: {sentence}"
    for_developers = (DeprecationWarning, FutureWarning, RuntimeWarning, ResourceWarning)
    return "" if issubclass(category, for_developers) else sentence


@contextmanager
def answered_warnings(state: dict[str, Any]) -> Iterator[None]:
    """Hand Python's warnings to the reporter of a command, each sentence once, while the block lasts.

    With ``--debug`` they are shown as Python shows them, and so are the logs of libraries.

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
    """Write log records to stderr with ``--debug`` only: what they report of GDAL is raised as an error, too."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__()
        self._state = state
        self.setLevel(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        if self._state["debug"]:
            super().emit(record)
