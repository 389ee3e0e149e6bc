"""What is wrong with a file that the user names, found before a library opens it; and texts of bounded size.

Libraries wait for ever for the end of a pipe or device, and describe links that lead nowhere or names that are too long by
the words of the operating system.
"""

from __future__ import annotations

import errno
import os
import pathlib
from typing import Any

from geopointseg.errors import InputFileError
from geopointseg.markup import is_device, parse_toml, read_bytes

_SHOWN = 60

Path = str | os.PathLike[str]


def require_input(path: Path, what: str) -> None:
    """Raise `InputFileError` unless a path is one of a regular file or a folder that may be read.

    Parameters
    ----------
    path
        What the user named.
    what
        What it should be, for messages: ``raster``.

    Raises
    ------
    InputFileError
        If there is nothing, a link that leads nowhere, a pipe or device, or no permission.
    """
    name = os.fspath(path)
    try:
        os.stat(name)  # noqa: PTH116 - Path('') is the current folder
    except (OSError, ValueError) as error:
        raise _explain_absence(error, name, what) from error
    if is_device(name):
        raise InputFileError(
            f"The {what} '{name}' is a pipe, socket or device. Expected a regular file, whose size is known and whose "
            "parts can be read in any order; copy the content to a file and name that."
        )
    if not os.access(name, os.R_OK):
        raise _refuse_access(name, what)


def _explain_absence(error: OSError | ValueError, name: str, what: str) -> InputFileError:
    """Return the reason why a path leads to nothing."""
    code = getattr(error, "errno", None)
    if code == errno.EACCES:
        return _refuse_access(name, what)
    if code == errno.ELOOP:
        return InputFileError(
            f"The {what} '{name}' is a symbolic link that leads back to itself. Expected a link to a file; name the file."
        )
    if code == errno.ENAMETOOLONG:
        return InputFileError(
            f"The path of the {what} '{os.path.basename(name)[:_SHOWN]}' has {len(os.fsencode(name))} bytes. Expected names "  # noqa: PTH119
            "of at most 255 bytes in a path of at most 4095; check the path, or move the file."
        )
    if os.path.islink(name):  # noqa: PTH114 - as above
        return InputFileError(
            f"The {what} '{name}' is a symbolic link to '{os.readlink(name)}', which does not exist. Expected a link to "  # noqa: PTH115
            "a file; name the file."
        )
    file, mark, layer = name.partition("|layername=")
    if mark and os.path.isfile(file):  # noqa: PTH113 - as above
        return InputFileError(
            f"The {what} '{name}' is a file and a layer as QGIS writes them. Expected the file '{file}' alone; give the layer "
            f"'{layer.partition('|')[0]}' by its own option."
        )
    return InputFileError(f"The {what} '{name}' does not exist. Check the path.")


def _refuse_access(name: str, what: str) -> InputFileError:
    return InputFileError(
        f"The {what} '{name}' may not be read. Expected permission for the file and its folders; change their permissions, "
        "or copy the file."
    )


def read_text(path: Path, what: str) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark.

    Parameters
    ----------
    path
        The file.
    what
        What it is, for messages.

    Raises
    ------
    InputFileError
        If it cannot be read, is larger than `geopointseg.markup.LARGEST_BYTES`, or is not in UTF-8.
    """
    require_input(path, what)
    name = os.fspath(path)
    if os.path.isdir(name):  # noqa: PTH112 - as above
        raise InputFileError(f"The {what} '{name}' is a folder. Expected a file; name it.")
    try:
        content = read_bytes(pathlib.Path(name))
    except ValueError as error:
        raise InputFileError(
            f"The {what} '{name}' cannot be read: {error}. Expected a text of some kilobytes; check that this is the file "
            "you meant."
        ) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputFileError(
            f"The {what} '{name}' is not text in UTF-8 (byte {error.start + 1} is {content[error.start]:#04x}). Expected "
            "UTF-8; save it with this encoding."
        ) from error


def read_toml(path: Path, what: str, expected: str) -> dict[str, Any]:
    """Return the content of a TOML file.

    Parameters
    ----------
    path
        The file.
    what
        What it is, for messages: ``settings file``.
    expected
        What stands in such a file, for messages.

    Returns
    -------
    dict
        The keys and values.

    Raises
    ------
    InputFileError
        If it cannot be read, is not TOML, or is nested deeper than `geopointseg.markup.DEEPEST`.
    """
    text = read_text(path, what)
    try:
        return parse_toml(text)
    except ValueError as error:
        raise InputFileError(
            f"'{os.fspath(path)}' is not a TOML file ({error}). Expected {expected}."
        ) from error
