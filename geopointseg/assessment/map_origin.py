"""Origin of a map: the model folders in its tags, and the fingerprints of model folders."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from geopointseg.markup import parse_json
from geopointseg.raster.class_map import ClassMap

FOLDER_TAG = "GEOPOINTSEG_MODEL_FOLDER"
"""Tag of a map with the paths of its model folders, as a JSON list."""


def describe_folders(folders: Sequence[str | os.PathLike[str]], output: Path) -> str:
    """Return the text of the tag with the paths of model folders.

    Paths are relative to the folder of the map, so that map and model can be moved together, and do not contain the
    folders above both. Where only the root of the disk or the folder of all home directories is common, a path in the
    user's home starts with ``~``, so that it does not contain the user's name. Other paths are absolute.

    Parameters
    ----------
    folders
        Model folders.
    output
        The map.

    Returns
    -------
    str
        A JSON list.
    """
    place = Path(output).absolute().parent
    return json.dumps([_shortened(Path(folder), place) for folder in folders], ensure_ascii=False)


def _shortened(folder: Path, place: Path) -> str:
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - a link stays what the user named
    home = Path.home()
    try:
        common = Path(os.path.commonpath([folder, place]))
    except ValueError:  # on different drives
        common = Path(folder.anchor)
    if common != Path(common.anchor) and common not in home.parents:
        return Path(os.path.relpath(folder, place)).as_posix()
    if home in (folder, *folder.parents):
        return (Path("~") / folder.relative_to(home)).as_posix()
    return folder.as_posix()


def locate_folders(class_map: ClassMap) -> list[Path]:
    """Return the model folders in the tags of a map; they may have been moved or deleted."""
    try:
        paths = parse_json(class_map.tags.get(FOLDER_TAG, "[]"))
    except ValueError:
        return []
    if not isinstance(paths, list):
        return []
    place = Path(class_map.path).absolute().parent
    return [
        place / Path(text).expanduser()
        for text in paths
        if isinstance(text, str) and "\0" not in text
    ]


def fingerprint_folder(folder: Path) -> str:
    """Return the fingerprint of a model folder, the SHA-256 of its ``model.json``; empty where there is none."""
    try:
        return hashlib.sha256((folder / "model.json").read_bytes()).hexdigest()
    except OSError:
        return ""
