"""Read-only queries on GeoPackages, which are SQLite databases.

A view or a generated column of a file from an unknown source can compute values of gigabytes, or rows without end. Every query
therefore has a budget of time, steps, rows and bytes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from geopointseg.errors import InputFileError
from geopointseg.markup import LARGEST_BYTES
from geopointseg.vector_source import read_only_uri, unchanged

MOST_STEPS = 200_000_000
"""Largest number of steps of SQLite's virtual machine in one query; a row of a simple view takes about 20."""

MOST_SECONDS = 30.0
"""Longest time of one query."""

MOST_ROWS = 100_000
"""Largest number of rows that a query returns."""

MOST_TEXT_BYTES = 2**28
"""Largest size of the texts that the views and generated columns of a layer compute, if they have more than 200 bytes on average."""

_USUAL_TEXT_BYTES = 200
_STEPS_BETWEEN = 200
_OF_THE_LIBRARY = {
    "changes", "last_insert_rowid", "load_extension", "random", "randomblob", "sqlite_compileoption_get",
    "sqlite_compileoption_used", "sqlite_source_id", "sqlite_version", "total_changes",
}  # fmt: skip
"""Functions whose values differ between the SQLite of Python and that of GDAL, or between two queries."""


def read_rows(path: str | Path, query: str, parameters: Sequence[str | int] = ()) -> list[Any]:
    """Return the rows of a query without changing the file or its folder.

    Parameters
    ----------
    path
        The GeoPackage.
    query
        SQL, with ``?`` for parameters.
    parameters
        Values of the parameters.

    Returns
    -------
    list of tuple
        Empty where the file does not exist.

    Raises
    ------
    InputFileError
        If the query exceeds its budget: `MOST_STEPS`, `MOST_SECONDS`, `MOST_ROWS`, or `LARGEST_BYTES` for a value and for the
        texts of all rows.
    sqlite3.DatabaseError
        If the file is no database, is locked, lacks a table of the query, or uses functions of another program.
    """
    if not Path(path).is_file():
        return []
    with unchanged(path) as source, _budget_explained(path), closing(_connect(source)) as database:
        rows, size = [], 0
        for row in database.execute(query, parameters):
            size += sum(len(value) for value in row if isinstance(value, (str, bytes)))
            rows.append(row)
            if len(rows) > MOST_ROWS or size > LARGEST_BYTES:
                raise _refuse(path, f"it gives more than {MOST_ROWS:,} rows or {LARGEST_BYTES:,} bytes")  # fmt: skip
        return rows


def is_stored_table(path: str | Path, name: str) -> bool:
    """Whether a GeoPackage has a table of this name, and no view; raises as `read_rows`."""
    return any(_is_stored(sql) for sql in _definitions(path, name))


def require_quick_views(path: str | Path) -> None:
    """Raise `InputFileError` if the first row of a view exceeds the budget of `read_rows`.

    GDAL computes the first row of every view when it opens a file. Views with functions of another program are left out.

    Parameters
    ----------
    path
        A file; nothing is checked where it is no SQLite file.
    """
    with suppress(sqlite3.DatabaseError):
        for (name,) in read_rows(path, "SELECT name FROM sqlite_master WHERE type = 'view'"):
            with suppress(sqlite3.DatabaseError):
                read_rows(path, f"SELECT * FROM {_quoted(name)} LIMIT 1")  # noqa: S608 # nosec B608 - quoted


def require_bounded_layer(path: str | Path, layer: str, columns: Sequence[str] = ()) -> None:
    """Raise `InputFileError` if a layer is computed without end, or computes values that exceed the memory.

    A layer that is a plain table passes without a query on its rows: the file holds its values.

    Parameters
    ----------
    path
        An SQLite file.
    layer
        Name of the table or view.
    columns
        Fields that will be read; without any, only the number of rows is limited.

    Raises
    ------
    InputFileError
        If the budget of `read_rows` or `MOST_TEXT_BYTES` is exceeded.
    sqlite3.DatabaseError
        As `read_rows`, or if the file is not on this machine; then nothing is known.
    """
    if not Path(path).is_file():
        raise sqlite3.DatabaseError("no local file")
    generated = "SELECT count(*) FROM pragma_table_xinfo(?) WHERE hidden <> 0"
    tables = [_is_stored(sql) for sql in _definitions(path, layer)]
    if tables and all(tables) and not read_rows(path, generated, (layer,))[0][0]:
        return
    require_small_texts(path, *read_rows(path, measuring_query(layer, columns))[0])


def measuring_query(layer: str, columns: Sequence[str]) -> str:
    """Return the query for the number of rows of a layer, and the bytes of the values in its columns.

    Examples
    --------
    >>> measuring_query("points", ["class"])
    'SELECT count(*) AS n, total(length(CAST("class" AS BLOB))) AS size FROM "points"'
    """
    sizes = [f"total(length(CAST({_quoted(name)} AS BLOB)))" for name in columns] or ["0"]
    return f"SELECT count(*) AS n, {' + '.join(sizes)} AS size FROM {_quoted(layer)}"  # noqa: S608 # nosec B608 - quoted


def require_small_texts(path: str | Path, count: int, size: float) -> None:
    """Raise `InputFileError` if a layer computes texts of too many bytes, see `MOST_TEXT_BYTES`.

    Parameters
    ----------
    path
        The file, for the message.
    count
        Number of features.
    size
        Bytes of all texts.
    """
    if size > max(MOST_TEXT_BYTES, count * _USUAL_TEXT_BYTES):
        raise _refuse(path, f"the values of a layer have {size:,.0f} bytes")


def _connect(source: str) -> sqlite3.Connection:
    """Open a database for reading within the budget of one query."""
    database = sqlite3.connect(read_only_uri(source), uri=True)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_BYTES)
    database.set_authorizer(_authorize)
    until, steps = time.monotonic() + MOST_SECONDS, 0

    def is_exceeded() -> bool:
        nonlocal steps
        steps += _STEPS_BETWEEN
        return steps > MOST_STEPS or time.monotonic() > until

    database.set_progress_handler(is_exceeded, _STEPS_BETWEEN)
    return database


def _authorize(action: int, _: str | None, function: str | None, *__: str | None) -> int:
    is_foreign = action == sqlite3.SQLITE_FUNCTION and (function or "").lower() in _OF_THE_LIBRARY
    return sqlite3.SQLITE_DENY if is_foreign else sqlite3.SQLITE_OK


@contextmanager
def _budget_explained(path: str | Path) -> Iterator[None]:
    """Convert errors of SQLite about the budget into one that names the file and what to do."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_INTERRUPT:
            reason = f"it takes more than {MOST_SECONDS:.0f} s or {MOST_STEPS:,} steps to compute"
        elif code == sqlite3.SQLITE_TOOBIG:
            reason = f"a value has more than {LARGEST_BYTES:,} bytes"
        else:
            raise
        raise _refuse(path, reason) from error


def _refuse(path: str | Path, reason: str) -> InputFileError:
    return InputFileError(
        f"A view or table in '{path}' is too large to be read: {reason}. Expected tables, or views that are small and computed "
        "quickly; save the layer as a new GeoPackage in QGIS, and name that."
    )


def _definitions(path: str | Path, name: str) -> list[str]:
    query = (
        "SELECT sql FROM sqlite_master WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')"
    )
    return [str(row[0]) for row in read_rows(path, query, (name,))]


def _is_stored(sql: str) -> bool:
    """Whether a definition is that of a table; SQLite stores it with these first words."""
    return sql.upper().startswith("CREATE TABLE")


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
