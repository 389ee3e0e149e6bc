"""Exceptions of geopointseg.

Every error that geopointseg raises on purpose is a `GeopointsegError`. Each class also inherits the builtin
exception of its kind (`ValueError`, `OSError` ...), so that ``except ValueError`` and ``except GeopointsegError`` both
catch it. A message has three parts: what was found, what was expected, and what to do. It names arguments, settings and
functions between backticks, as Python has them; the command line and the QGIS plugin print options and fields instead.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class GeopointsegError(Exception):
    """Base class of all errors that geopointseg raises on purpose."""

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]  # read when a traceback is printed, so the link costs nothing before
        """Lines below the traceback: the link to the explanation, where the address of the documentation is known."""
        if "_notes" not in vars(self):
            from geopointseg.message_catalogue import link_to

            link = link_to(str(self))
            vars(self)["_notes"] = [link] if link else []
        notes: list[str] = vars(self)["_notes"]
        return notes


class InputFileError(GeopointsegError, OSError):
    """An input file is missing, unreadable, or not of the expected kind."""


class OutputError(GeopointsegError, OSError):
    """An output cannot be written: folder missing or read-only, disk full, or in use by another run."""


class RasterError(GeopointsegError, ValueError):
    """The grid, bands or values of a raster do not fit the task."""


class PointsError(GeopointsegError, ValueError):
    """The points cannot be used: no class field, no CRS, none on the scene, one class only ..."""


class LegendError(GeopointsegError, ValueError):
    """A class code, name or colour is unknown, duplicated or malformed."""


class ConfigError(GeopointsegError, ValueError):
    """A setting is unknown or outside its range."""


class ModelError(GeopointsegError, ValueError):
    """A model, its architecture or its weights do not fit the task."""


class TrainingError(GeopointsegError, RuntimeError):
    """Training cannot continue, for example because the loss is NaN."""


class MissingDependencyError(GeopointsegError, ImportError):
    """An optional package is needed for the task and is not installed."""


class DataWarning(UserWarning):
    """Warning: a part of the input was corrected or left out when it was read; the message names it."""


class Cancelled(GeopointsegError):
    """The user cancelled the run; no output that looks complete was left."""


_MEMORY_PHRASES = (
    "out of memory", "not enough memory", "allocate memory", "to allocate", "bad_alloc", "can't start new thread", "failed to map segment",
    "could not create a primitive", "could not create a memory",
)  # fmt: skip
"""Parts of messages of libraries that raise no `MemoryError`; a thread cannot start where its stack finds no room."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error, or the one that caused it, says that memory ran out.

    Parameters
    ----------
    error
        Any exception, also one of a library.

    Examples
    --------
    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    """
    seen: BaseException | None = error
    known: set[int] = set()  # chains of contexts can be circular
    while seen is not None and id(seen) not in known:
        known.add(id(seen))
        text = str(seen).lower()
        if isinstance(seen, MemoryError) or (
            isinstance(seen, OSError) and seen.errno == errno.ENOMEM
        ):
            return True
        if any(phrase in text for phrase in _MEMORY_PHRASES):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def nearest_names(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return a phrase with the known names that are most similar to a misspelt one.

    Parameters
    ----------
    name
        The misspelt name.
    known
        All valid names.
    count
        The largest number of suggestions.

    Returns
    -------
    str
        For example ``"Did you mean 'resnet18', 'resnet34'?"``, or a list of the first known names
        where none is similar.

    Examples
    --------
    >>> nearest_names("unnet", ["unet", "fpn", "pspnet"])
    "Did you mean 'unet'?"
    """
    names = list(known)
    near = difflib.get_close_matches(name.lower(), names, n=count, cutoff=0.55)
    if near:
        return "Did you mean " + ", ".join(repr(n) for n in near) + "?"
    shown = ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
    return f"Known names: {shown}."
