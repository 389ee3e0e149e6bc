"""Atomic writing: an output appears only when it is complete.

Every output is written under a temporary name in its own folder and moved into place at the end, so that a failed or
cancelled run leaves no incomplete file. What is written beside the temporary name (a style, a GDAL sidecar) belongs to
the file and is moved with it. Old sidecars are removed before the file is replaced, and new ones are moved after it, so
that no file lies beside the style of another one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from geopointseg.errors import GeopointsegError, OutputError
from geopointseg.markup import is_device
from geopointseg.raster.raster_access import HANDLES
from geopointseg.raster.whole_raster import is_whole

_LONGEST_STEM = 60
_LONGEST_NAME = 255
"""Bytes that common file systems take for a name."""

_LEAST_FREE_BYTES = 2**16
_LITTLE_FREE_BYTES = 2**24
"""With less room left, all blocks of a raster are read again before it is moved into place."""

_OF_AN_OPEN_DATABASE = ("-journal", "-wal", "-shm")
_OF_THE_OLD_PIXELS = (".aux.xml", ".ovr", ".msk")
"""Endings of sidecars whose content holds for the pixels of one file only: statistics, overviews, a mask."""


@contextmanager
def whole_file(path: str | os.PathLike[str], mark: str = "") -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and move what was written there into place when the block ends well.

    Sidecars of the temporary path are moved, too: ``temporary.with_suffix(".qml")`` becomes the style of ``path``,
    ``temporary.name + ".aux.xml"`` its GDAL sidecar. They are in place only beside the file that they were written
    for. If a file cannot be moved, what was there before is put back.

    Parameters
    ----------
    path
        Where the finished file shall be; its folder must exist.
    mark
        Part of the temporary name; by default a new one each time, with the number of this process. With a fixed one, a
        run that is repeated after a crash replaces what the crash left behind, also on another machine.

    Raises
    ------
    OutputError
        If the folder is missing or cannot be written to, the disk is full, or another program holds the old file.
    """
    path = Path(path)
    require_writable_folder(path)
    _remove_abandoned(path)
    own = f"{own_mark()}-{uuid.uuid4().hex[:8]}"
    temporary = path.with_name(_temporary_name(path, mark or own))
    _remove(temporary, path)  # what a killed run left; a sidecar of it would be continued
    try:
        yield temporary
        _require_whole(path, temporary)
        _publish(path, temporary, own)
    except OSError as error:
        raise explain_write_error(error, path) from error
    except Exception as error:
        if isinstance(error, GeopointsegError) or not _tells_of_full_disk(error, path.parent):
            raise
        raise _refuse_full_disk(path) from error
    finally:
        _remove(temporary, path)


def _remove(temporary: Path, path: Path) -> None:
    for part in _parts(temporary, path):
        part.unlink(missing_ok=True)


def beside(path: Path, ending: str, *, start: str = "") -> Path:
    """Return the path of a file or folder that belongs to an output and lies beside it, such as a lock.

    Parameters
    ----------
    path
        The output; its own name is kept in the other one unless that would become too long.
    ending, start
        What is put behind and before the name.

    Returns
    -------
    Path
        In the folder of the output.

    Examples
    --------
    >>> beside(Path("maps/map.tif"), ".partial").as_posix()
    'maps/map.tif.partial'
    """
    name = f"{start}{path.name}{ending}"
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f"{start}{_digest(path.name)}{ending}"
    return path.with_name(name)


def hidden_beside(path: Path, ending: str) -> Path:
    """Return the path of a hidden file or folder beside an output, as `beside`.

    Examples
    --------
    >>> hidden_beside(Path("maps/model"), ".lock").as_posix()
    'maps/.model.lock'
    """
    return beside(path, ending, start=".")


@cache
def _machine() -> str:
    """Return a short name of the machine and, in a container, of its process numbers."""
    with contextlib.suppress(OSError):
        return _digest(f"{platform.node()} {os.stat('/proc/self/ns/pid').st_ino}")[:6]  # noqa: PTH116 - no file
    return _digest(platform.node())[:6]


def own_mark() -> str:
    """Return a part of a temporary name that names this process: the machine and the process number."""
    return f"{_machine()}-{os.getpid()}"


def _is_abandoned(mark: str) -> bool:
    """Return whether the process of this machine that made a mark has ended; others, and all on Windows, count as running."""
    machine, _, number = mark.partition("-")
    if os.name != "posix" or machine != _machine() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _remove_abandoned(path: Path) -> None:
    """Remove temporary files of an output whose process was killed; an old file without a successor is put back."""
    pattern = re.compile(
        re.escape(f".{_plain_stem(path)}") + r"[.-]([0-9a-f]{6}-\d+)-[0-9a-f]{8}[.-](old|partial)"
    )
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):  # noqa: PTH208 - Path.iterdir makes an object of each of very many files
            found = pattern.match(name)
            if found is None or not _is_abandoned(found[1]):
                continue
            left = path.with_name(name)
            if found[2] == "old" and name.endswith("-0") and not path.exists():
                left.replace(path)
            else:
                left.unlink(missing_ok=True)


def _plain_stem(path: Path) -> str:
    """Return the stem of a path in plain characters, with a digest where it has others or is long."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", path.stem)
    if plain != path.stem or len(plain) > _LONGEST_STEM:
        plain = f"{plain[:_LONGEST_STEM]}-{_digest(path.name)}"
    return plain


def _temporary_name(path: Path, mark: str) -> str:
    """Return a hidden name of plain characters, with a suffix where the path has one, that every driver takes."""
    plain = _plain_stem(path)
    if not path.suffix:
        return f".{plain}-{mark}-partial"
    is_plain = re.fullmatch(r"\.\w{1,8}", path.suffix, re.ASCII)
    return f".{plain}.{mark}.partial{path.suffix if is_plain else '.out'}"


def _digest(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:12]


def _parts(temporary: Path, path: Path) -> dict[Path, Path]:
    """Return what lies under a temporary name, and where it belongs; the file itself and what is beside it."""
    base, suffix = temporary.name.removesuffix(temporary.suffix), temporary.suffix
    with os.scandir(temporary.parent) as entries:
        names = sorted(entry.name for entry in entries if entry.name.startswith(base))
    found = {}
    for name in names:
        rest = name.removeprefix(base)
        final = path.stem + rest
        if rest.startswith(suffix):
            final = path.name + rest.removeprefix(suffix)
        if rest[:1] in ("", ".", "-"):
            found[temporary.with_name(name)] = path.with_name(final)
    return found


def _publish(path: Path, temporary: Path, mark: str) -> None:
    """Move a file and its sidecars into place: all of them, or none and what was there before is back."""
    if path.exists():
        HANDLES.close()  # a file that is open cannot be replaced on every system
    sidecars = {
        source: target
        for source, target in _parts(temporary, path).items()
        if target != path
        and not target.name.endswith(_OF_AN_OPEN_DATABASE)
        and len(os.fsencode(target.name)) <= _LONGEST_NAME
    }
    outdated = [path.with_name(path.name + ending) for ending in _OF_THE_OLD_PIXELS]
    moves = _Moves(path, mark)
    try:
        for old in dict.fromkeys([*sidecars.values(), *outdated]):
            moves.set_aside(old)
        moves.keep(path)
        moves.place(temporary, path)
        for source, target in sidecars.items():
            moves.place(source, target)
    except BaseException as error:
        moves.undo()
        if isinstance(error, PermissionError) and path.exists():
            raise _explain_hold(error, path, sidecars) from error
        raise
    moves.finish()


@dataclass
class _Moves:
    """Moves of files within one folder that can be undone.

    Parameters
    ----------
    path
        The file that is replaced.
    mark
        Part of hidden names.
    """

    path: Path
    mark: str
    _undo: list[Callable[[], object]] = field(default_factory=list)
    _kept: list[tuple[Path, Path]] = field(default_factory=list)

    def set_aside(self, file: Path) -> None:
        """Move an old file to a hidden name, if there is one."""
        if len(os.fsencode(file.name)) <= _LONGEST_NAME and file.is_file():
            hidden = self._hidden(len(self._kept) + 1)
            file.replace(hidden)
            self._remember(hidden, file)

    def keep(self, file: Path) -> None:
        """Give an old file a second, hidden name, so that it can be replaced in one step and put back."""
        if not file.exists():
            return
        hidden = self._hidden(0)
        try:
            os.link(file, hidden)
        except OSError:  # a file system without hard links
            file.replace(hidden)
        self._remember(hidden, file)

    def place(self, source: Path, target: Path) -> None:
        """Move a new file to its name."""
        source.replace(target)
        self._undo.append(lambda: target.unlink(missing_ok=True))

    def undo(self) -> None:
        """Put back what was there before, in reverse order.

        Raises
        ------
        OutputError
            If something cannot be put back; the message gives its path.
        """
        for step in reversed(self._undo):
            with contextlib.suppress(OSError):
                step()
        lost = [f"'{file}' is now '{hidden}'" for hidden, file in self._kept if hidden.exists()]
        if lost:
            raise OutputError(
                f"'{self.path}' could not be written, and what was there before could not be put back: {', '.join(lost)}. "
                "Expected a folder that stays writable during the run; rename these files yourself."
            )

    def finish(self) -> None:
        """Remove the old files."""
        for hidden, _ in self._kept:
            with contextlib.suppress(OSError):
                hidden.unlink(missing_ok=True)

    def _remember(self, hidden: Path, file: Path) -> None:
        self._kept.append((hidden, file))
        self._undo.append(lambda: _put_back(hidden, file))

    def _hidden(self, number: int) -> Path:
        """Return a hidden name; number 0 is that of the file itself, the others are those of its sidecars."""
        return self.path.with_name(f".{_plain_stem(self.path)}.{self.mark}.old-{number}")


def _put_back(hidden: Path, file: Path) -> None:
    if file.exists() and os.path.samestat(hidden.stat(), file.stat()):
        hidden.unlink()  # nothing was put in its place yet
    else:
        hidden.replace(file)


def _explain_hold(error: PermissionError, path: Path, sidecars: Mapping[Path, Path]) -> OutputError:
    named = {str(name) for name in (error.filename, error.filename2) if name}
    held = next((target for target in sidecars.values() if str(target) in named), path)
    return OutputError(
        f"'{held}' cannot be replaced ({error.strerror}): another program may have it open. Close it there, in QGIS by "
        "removing the layer, and run again; the old files are unchanged."
    )


def require_writable_folder(path: Path) -> None:
    """Raise `OutputError` unless a file can be made at ``path``, or what is there can be replaced."""
    folder = path.parent
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise OutputError(
            f"The name of the output '{path}' is {len(os.fsencode(path.name))} bytes long. Expected at most "
            f"{_LONGEST_NAME}, which is what file systems take; choose a shorter name."
        )
    if not os.path.isdir(folder):  # noqa: PTH112 - Path fails on long names
        raise OutputError(
            f"The folder '{folder}' of the output '{path.name}' does not exist. "
            "Outputs are written into existing folders; create it first."
        )
    is_folder = os.path.isdir(path)  # noqa: PTH112 - Path fails on long names
    if is_folder or not os.access(folder, os.W_OK | os.X_OK):
        what = "is a folder" if is_folder else f"cannot be written: no permission in '{folder}'"
        raise OutputError(
            f"The output '{path}' {what}. Expected the path of a file in a folder that you may write to; "
            "choose another path."
        )
    if is_device(path):
        raise OutputError(
            f"The output '{path}' is a pipe, socket or device. Expected the path of a file, which is written as a whole; "
            "choose another path."
        )
    try:
        if path.exists():
            path.rename(
                path
            )  # does nothing, and fails where another program keeps the file from being moved
    except PermissionError as error:
        raise _explain_hold(error, path, {}) from error


_ENDINGS = {"GeoTIFF": (".tif", ".tiff"), "HTML": (".html", ".htm"), "ONNX": (".onnx",)}
_OTHER_ENDINGS = {
    ".asc", ".bmp", ".csv", ".docx", ".gif", ".geojson", ".gpkg", ".h5", ".hdf", ".img", ".jp2", ".jpeg", ".jpg", ".json", ".md",
    ".nc", ".npy", ".pdf", ".png", ".pt", ".pth", ".shp", ".svg", ".txt", ".vrt", ".webp", ".xlsx", ".zarr", ".zip",
}  # fmt: skip
"""Endings by which people and programs expect another format."""


def require_ending(path: Path, form: Literal["GeoTIFF", "HTML", "ONNX"]) -> None:
    """Raise `OutputError` if a file of one format is to be written under the ending of another one."""
    own, ending = _ENDINGS[form], path.suffix.lower()
    others = _OTHER_ENDINGS.union(*_ENDINGS.values()).difference(own)
    if ending in others:
        raise OutputError(
            f"The output '{path}' ends in {path.suffix}, but it is written as {form}. Expected a name that ends in {own[0]}; rename the output."
        )


def require_room_for_folder(folder: Path) -> None:
    """Raise `OutputError` unless a folder is one that may be written to, or can be made."""
    parent = folder.absolute()
    while not os.path.lexists(parent):
        parent = parent.parent
    if not os.path.isdir(parent):  # noqa: PTH112 - Path fails on long names
        raise OutputError(
            f"The output folder '{folder}' cannot be made: '{parent}' is no folder. Expected a folder, or a new name in one; "
            "choose another name."
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(
            f"The output folder '{folder}' cannot be made: no permission in '{parent}'. "
            "Expected a writable folder; choose another one."
        )
    if len(os.fsencode(folder.name)) > _LONGEST_NAME:
        raise OutputError(
            f"The name of the output folder '{folder}' is {len(os.fsencode(folder.name))} bytes long. Expected at most "
            f"{_LONGEST_NAME}, which is what file systems take; choose a shorter name."
        )


def refuse_overwriting_inputs(
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
    read = {os.path.realpath(name) for name in inputs}
    for path in outputs:
        if os.path.exists(path) and os.path.realpath(path) in read:  # noqa: PTH110 - Path fails on long names
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
    """Return an `OutputError` with the reason why ``path`` could not be written, or the error if it is our own."""
    if isinstance(error, OutputError) or type(error).__module__.startswith("geopointseg"):
        return error
    if _tells_of_full_disk(error, path.parent):
        return _refuse_full_disk(path)
    return OutputError(
        f"'{path}' could not be written ({error.strerror or error}). Expected a folder that stays writable during the run; "
        "check the disk and the permissions."
    )


def _tells_of_full_disk(error: Exception, folder: Path) -> bool:
    """Whether an error of any library while an output is written is due to a full disk."""
    if getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}:
        return True
    if re.search(r"No space left|disk is full", str(error)):
        return True
    try:
        is_commit = "Failed to commit transaction" in str(
            error
        )  # all that GDAL says of a GeoPackage
        least = _LITTLE_FREE_BYTES if is_commit else _LEAST_FREE_BYTES
        return shutil.disk_usage(folder).free < least
    except OSError:
        return False


def _require_whole(path: Path, temporary: Path) -> None:
    """Raise `OutputError` if a raster has been cut off, because the disk became full or files may not become larger."""
    free = shutil.disk_usage(path.parent).free
    if not temporary.exists() or is_whole(temporary, thorough=free < _LITTLE_FREE_BYTES):
        return
    if free < _LEAST_FREE_BYTES:
        raise _refuse_full_disk(path)
    raise OutputError(
        f"'{path}' could not be written to its end. Expected room for the whole output; check the free space, the quota and "
        "the largest size of a file."
    )


def _refuse_full_disk(path: Path) -> OutputError:
    return OutputError(
        f"The disk is full: '{path}' could not be written. Expected room for the whole output in "
        f"'{path.parent}'; free some space or write to another disk."
    )
