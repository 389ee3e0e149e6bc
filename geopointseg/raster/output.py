"""Files that appear only when they are whole.

Every output is written under a temporary name in its own folder and moved into place at the end, so that a
failed or cancelled run leaves no file that looks finished.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from geopointseg.errors import OutputError
from geopointseg.raster.dataset import HANDLES


@contextmanager
def whole_file(path: str | os.PathLike[str], mark: str = "") -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and move it into place when the block ends well.

    Parameters
    ----------
    path
        Where the finished file shall be; its folder must exist.
    mark
        Part of the temporary name; by default a new one each time. With a fixed one, a run that is repeated
        after a crash replaces what the crash left behind.

    Raises
    ------
    OutputError
        If the folder is missing or cannot be written to, or the disk is full.
    """
    path = Path(path)
    require_writable_folder(path)
    temporary = path.with_name(f".{path.stem}.{mark or uuid.uuid4().hex[:8]}.partial{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise explain_write_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def require_writable_folder(path: Path) -> None:
    """Raise `OutputError` unless a file can be made at ``path``."""
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(
            f"The folder '{folder}' of the output '{path.name}' does not exist. "
            "Outputs are written into existing folders; create it first."
        )
    if not os.access(folder, os.W_OK) or path.is_dir():
        what = "is a folder" if path.is_dir() else f"cannot be written: no permission in '{folder}'"
        raise OutputError(
            f"The output '{path}' {what}. Expected the path of a file in a folder that you may write to; "
            "choose another path."
        )


def spare_inputs(
    outputs: Iterable[str | os.PathLike[str]], inputs: Iterable[str | os.PathLike[str]]
) -> None:
    """Raise `OutputError` if an output would replace a file that is read.

    Parameters
    ----------
    outputs
        The files that shall be written.
    inputs
        The files that are read; for rasters what `raster_files` returns.
    """
    read = {Path(name).resolve() for name in inputs}
    for path in map(Path, outputs):
        if path.exists() and path.resolve() in read:
            raise OutputError(
                f"The output '{path}' is also a file that is read. Expected another file, so that your data are kept; "
                "choose another name."
            )


def raster_files(rasters: Iterable[str]) -> set[Path]:
    """Return the local files of rasters, those behind virtual rasters too, however deep.

    Parameters
    ----------
    rasters
        Paths of scenes: anything that GDAL opens.
    """
    found: set[Path] = set()
    waiting = list(rasters)
    while waiting:
        names = HANDLES.get(waiting.pop()).files
        files = {Path(name).resolve() for name in names if not name.startswith("/vsi")}
        waiting += [str(file) for file in files - found if file.suffix.lower() == ".vrt"]
        found |= files
    return found


def explain_write_error(error: OSError, path: Path) -> OSError:
    """Return an `OutputError` that says why ``path`` could not be written, or the error if it is ours."""
    if isinstance(error, OutputError) or type(error).__module__.startswith("geopointseg"):
        return error
    if error.errno in {errno.ENOSPC, errno.EDQUOT} or "No space left" in str(error):
        return OutputError(
            f"The disk is full: '{path}' could not be written. Expected room for the whole output in "
            f"'{path.parent}'; free some space or write to another disk."
        )
    return OutputError(
        f"'{path}' could not be written ({error}). Expected a folder that stays writable during the run; "
        "check the disk and the permissions."
    )
