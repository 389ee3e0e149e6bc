"""Read-only queries on GeoPackages, which are SQLite databases."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from geopointseg.vector_source import read_only_uri, unchanged


def read_rows(path: str | Path, query: str, parameters: Sequence[str] = ()) -> list[Any]:
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
    sqlite3.DatabaseError
        If the file is no database, is locked, or lacks a table of the query.
    """
    if not Path(path).is_file():
        return []
    with (
        unchanged(path) as source,
        closing(sqlite3.connect(read_only_uri(source), uri=True)) as connection,
    ):
        return connection.execute(query, parameters).fetchall()
