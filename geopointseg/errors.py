"""What can go wrong, as a small tree of exceptions.

Every error that geopointseg raises on purpose is a `GeopointsegError`. Each kind also inherits the builtin
that a Python user would expect (`ValueError`, `OSError` ...), so neither ``except ValueError`` nor
``except GeopointsegError`` surprises anyone. A message is one sentence group of three parts: what was found,
what was expected, and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GeopointsegError(Exception):
    """The root of all errors that geopointseg raises on purpose."""


class InputFileError(GeopointsegError, OSError):
    """An input file is missing, unreadable, or not of the expected kind."""


class OutputError(GeopointsegError, OSError):
    """An output cannot be written: folder missing or read-only, disk full, or in use by another run."""


class RasterError(GeopointsegError, ValueError):
    """A raster's grid, bands or values cannot be used for what was asked."""


class PointsError(GeopointsegError, ValueError):
    """The points cannot be used: no class field, no CRS, none on the scene, one class only ..."""


class LegendError(GeopointsegError, ValueError):
    """A class code, name or colour is unknown, doubled or malformed."""


class ConfigError(GeopointsegError, ValueError):
    """A setting is unknown or outside its range."""


class ModelError(GeopointsegError, ValueError):
    """A model, its architecture or its weights do not fit what was asked of them."""


class TrainingError(GeopointsegError, RuntimeError):
    """Training cannot go on, for example because the loss is no longer a number."""


class MissingDependencyError(GeopointsegError, ImportError):
    """An optional package is needed for what was asked and is not installed."""


class DataWarning(UserWarning):
    """Something in the user's data was corrected or left out on reading; the message says what in one sentence."""


class Cancelled(GeopointsegError):
    """The run was cancelled by the user; nothing that looks finished was left behind."""


def nearest_names(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return a phrase that names the known names nearest to a misspelt one.

    Parameters
    ----------
    name
        What the user wrote.
    known
        The names that would have been accepted.
    count
        The largest number of suggestions.

    Returns
    -------
    str
        For example ``"Did you mean 'resnet18', 'resnet34'?"``, or a list of the first known names
        where nothing is near.

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
