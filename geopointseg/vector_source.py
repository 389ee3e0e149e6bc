"""Opening of vector files with any name, in any folder, without changes to the folder.

SQLite, the format of GeoPackage, creates ``-wal`` and ``-shm`` files beside a file in write-ahead mode, which QGIS
uses. Such a file is read from a temporary copy, which includes edits that were saved but not yet merged. The copy shows one
state of the file, also while another program writes it (`hold_state`).

GDAL writes a schema beside a GML file, which is therefore opened through a link in a temporary folder.

pyogrio parses a path as a URL: ``!`` separates an archive from its member, ``;`` and line breaks are removed. A file
with such a path is opened through links with plain names in a temporary folder.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from urllib.parse import quote

from geopointseg.errors import InputFileError, PointsError
from geopointseg.input_file import require_input
from geopointseg.process import permit_connections, require_room
from geopointseg.source_policy import names_address, require_local_sources

PLAIN_STEM = "linked"
"""Name without suffix of a link to a file whose own name pyogrio would misread."""

PATIENCE_S = 5.0
"""Time to wait for a program that writes a GeoPackage."""

_PAUSE_S = 0.02
_MOST_COPIED_BYTES = 512_000_000
_HELD: ContextVar[Mapping[Path, str]] = ContextVar("_HELD", default=MappingProxyType({}))
"""Copy of each file whose state is held, by its absolute path."""
_GML_START = 8192
_SQLITE = b"SQLite format 3"
_MEMBERS = (".gpkg", ".shp", ".geojson", ".fgb", ".kml", ".gml", ".sqlite", ".tab")
_ARCHIVES_OF_DRIVERS = (".shp.zip", ".gpkg.zip", ".gdb.zip")


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL or a virtual path of GDAL, and not a local file."""
    text = os.fspath(path)
    return (text.startswith("/vsi") or "://" in text) and not os.path.lexists(text)


@contextmanager
def unchanged(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield a path that can be opened without changes to the folder of the file.

    Usually the path itself; a temporary copy where the file is in write-ahead mode.

    Raises
    ------
    InputFileError
        If the file is missing, may not be read, or is being written.
    """
    path = os.fspath(path)
    if is_remote(path):
        if names_address(path):
            permit_connections()
        yield path
        return
    file = Path(path)
    require_input(path, "vector file")
    if (held := _HELD.get().get(file.absolute())) is not None:
        yield held
        return
    if not _is_write_ahead(file):
        _require_unlocked(path)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="geopointseg-") as folder:
        yield _copy_state(file, Path(folder))


@contextmanager
def hold_state(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let `unchanged` and `openable` yield one state of a GeoPackage within the block, whatever another program writes meanwhile.

    Files of more than 512 MB that are not in write-ahead mode are not copied, nor is any where the folder of temporary files
    has no room.

    Parameters
    ----------
    path
        A vector file of any kind; others than SQLite files are read as they are.
    """
    file = Path(path).absolute()
    if is_remote(path) or not _is_database(file) or file in _HELD.get():
        yield
        return
    if file.stat().st_size > _MOST_COPIED_BYTES and not _is_write_ahead(file):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="geopointseg-") as folder:
        try:
            held = {file: _copy_state(file, Path(folder))}
        except InputFileError:
            raise
        except OSError:  # no room for a copy: the file is read as it is
            held = {}
        token = _HELD.set({**_HELD.get(), **held})
        try:
            yield
        finally:
            _HELD.reset(token)


def _copy_state(file: Path, folder: Path) -> str:
    """Copy one state of an SQLite file into a folder, and return the path of the copy."""
    until = time.monotonic() + PATIENCE_S
    while not (
        _copy_twice_alike(file, folder) if _is_write_ahead(file) else _copy_locked(file, folder)
    ):
        if time.monotonic() > until:
            raise InputFileError(
                f"'{file}' is locked: another program is writing it. Expected a file that nobody writes; save the edits "
                "there, or close it, and run again."
            )
        time.sleep(_PAUSE_S)
    return str(folder / file.name)


def _copy_twice_alike(file: Path, folder: Path) -> bool:
    """Copy a file and its write-ahead log; return whether both were still the same after both were copied."""
    parts = {part: folder / part.name for part in (file, Path(f"{file}-wal"))}
    for part, copy in parts.items():
        copy.unlink(missing_ok=True)
        if os.path.isfile(part):  # noqa: PTH113 - false, no error, where a name is too long
            with suppress(FileNotFoundError):
                shutil.copyfile(part, copy)
    return all(_is_same(part, copy) for part, copy in parts.items())


def _is_same(part: Path, copy: Path) -> bool:
    if not (os.path.isfile(part) and copy.is_file()):  # noqa: PTH113 - as above
        return not os.path.isfile(part) and not copy.is_file()  # noqa: PTH113
    with suppress(FileNotFoundError):
        return filecmp.cmp(part, copy, shallow=False)
    return False


def _copy_locked(file: Path, folder: Path) -> bool:
    """Copy a file while SQLite keeps others from writing it; return False where another program does.

    A file that SQLite does not read is copied, too: its errors are told where it is opened.
    """
    try:
        with closing(
            sqlite3.connect(f"file:{quote(os.fsencode(file))}?mode=ro", PATIENCE_S, uri=True)
        ) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
            shutil.copyfile(file, folder / file.name)
            return not _is_write_ahead(folder / file.name)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            return False
        for part in (file, Path(f"{file}-journal")):
            if os.path.isfile(part):  # noqa: PTH113 - as above
                shutil.copyfile(part, folder / part.name)
        return True


@contextmanager
def openable(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield a path by which GDAL opens a vector file for reading; for a zip archive, the path of its member.

    Raises
    ------
    InputFileError
        If the file is missing, or leads to a network source; see `geopointseg.source_policy`.
    PointsError
        If an archive holds several vector files in different folders.
    MemoryError
        If a limit of the address space is reached.
    """
    require_room()
    with unchanged(path) as local:
        if is_remote(local):
            yield local
            return
        require_local_sources(local)
        absolute = Path(local).absolute()
        if _is_plain(absolute) and not _is_gml(absolute):
            yield _look_inside(absolute, os.fspath(path))
            return
        with tempfile.TemporaryDirectory(prefix="geopointseg-") as folder:
            yield _look_inside(_link(absolute, Path(folder)), os.fspath(path))


@contextmanager
def writable(path: Path) -> Iterator[Path]:
    """Yield a path that pyogrio does not misread, for writing a file with a plain name in any folder."""
    absolute = path.absolute()
    if _is_plain(absolute):
        yield absolute
        return
    with tempfile.TemporaryDirectory(prefix="geopointseg-") as folder:
        link = Path(folder) / PLAIN_STEM
        link.symlink_to(absolute.parent, target_is_directory=True)
        yield link / absolute.name


def _is_plain(path: Path) -> bool:
    """Whether pyogrio passes a path to GDAL unchanged, or as the path of an archive."""
    from pyogrio.util import vsi_path

    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8
        return False
    return vsi_path(str(path)) in (str(path), f"/vsizip/{path}")


def _link(file: Path, folder: Path) -> Path:
    """Link a file, and files beside it with the same stem (parts of a shapefile, a style), into a folder."""
    link = folder / f"{PLAIN_STEM}{file.suffix if file.suffix.isascii() else ''}"
    link.symlink_to(file, target_is_directory=file.is_dir())
    for name in os.listdir(file.parent):  # noqa: PTH208 - Path.iterdir makes an object of each of very many files
        ending = name.removeprefix(file.stem)
        beside = folder / f"{PLAIN_STEM}{ending}"
        if ending != name and ending.startswith(".") and ending.isascii() and not beside.exists():
            beside.symlink_to(file.parent / name)
    return link


def _look_inside(file: Path, path: str) -> str:
    """Return the path of the only vector file, or folder of vector files, in a zip archive; else the path itself."""
    name = file.name.lower()
    if not name.endswith(".zip") or name.endswith(_ARCHIVES_OF_DRIVERS) or not file.is_file():
        return str(file)
    with _archive(file, path) as archive:
        files = [m for m in map(PurePosixPath, archive.namelist()) if "__MACOSX" not in m.parts]
    members = [m for m in files if m.suffix.lower() in _MEMBERS]
    members = members or [m for m in files if m.suffix.lower() == ".json"]
    folders = {member.parent for member in members}
    if len(folders) > 1:
        raise PointsError(
            f"'{path}' holds the vector files {', '.join(map(str, members[:8]))}. Expected one, or several in one folder; "
            "unzip it and name one of them."
        )
    if not members:
        return str(file)
    inner = members[0] if len(members) == 1 else folders.pop()
    for member in members:
        require_local_sources(f"/vsizip/{{{file}}}/{member}")
    return f"/vsizip/{{{file}}}/{inner}".removesuffix("/.")


def _archive(file: Path, path: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise InputFileError(
            f"'{path}' cannot be opened as a zip archive ({error}). Expected a whole archive with a vector file in it; "
            "get it again, or unzip it."
        ) from error


def _is_gml(file: Path) -> bool:
    """Whether GDAL writes a schema (``.gfs``) beside a file when it reads it."""
    if not os.path.isfile(file):  # noqa: PTH113 - as above
        return False
    with file.open("rb") as stream:
        start = stream.read(_GML_START)
    return b"/gml" in start or b"gml:" in start


def _is_database(file: Path) -> bool:
    return os.path.isfile(file) and _header(file)[:15] == _SQLITE  # noqa: PTH113 - as above


def _is_write_ahead(file: Path) -> bool:
    header = _header(file)
    return header[:15] == _SQLITE and 2 in header[18:20]


def _header(file: Path) -> bytes:
    if not file.is_file():
        return b""
    with file.open("rb") as stream:
        return stream.read(20)


def _require_unlocked(path: str) -> None:
    """Raise `InputFileError` if a GeoPackage is being written, or a program has ended while it wrote it.

    GDAL reads such a file without regard to locks, and finds a part of what is written.
    """
    if _header(Path(path))[:15] != _SQLITE:
        return
    try:
        with closing(sqlite3.connect(read_only_uri(path), PATIENCE_S, uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode & 0xFF  # the kind of error without its details
        if code == sqlite3.SQLITE_BUSY:
            raise InputFileError(
                f"'{path}' is locked: another program is writing it. Expected a file that nobody writes; save the edits "
                "there, or close it, and run again."
            ) from error
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            raise InputFileError(
                f"'{path}' was left half written by a program that was stopped: the file '{Path(path).name}-journal' beside "
                "it holds what was there before. Expected a file that is whole; open it in QGIS, which restores it, or copy "
                "it without that file."
            ) from error


def read_only_uri(path: str | os.PathLike[str]) -> str:
    """Return the address by which SQLite opens a file without changing it."""
    return f"file:{quote(os.fsencode(os.path.realpath(path)))}?mode=ro"
