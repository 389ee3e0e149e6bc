"""Where the models of a map are: what the map's tags say of their folders, and how folders are recognized."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from geopointseg.raster.class_map import ClassMap

FOLDER_TAG = "GEOPOINTSEG_MODEL_FOLDER"
"""The map's tag that says where the model folders were, as a JSON list."""


def describe_folders(folders: Sequence[str | os.PathLike[str]], output: Path) -> str:
    """Return the text of the tag that says where model folders lie, seen from a map.

    The path is relative to the map's folder, so that map and model are found when they are moved together, and says
    nothing of the folders above both. Where only the root of the disk or the folder of all home directories is common,
    a model in the user's home is given from ``~``, so that the tag does not hold the user's name; others are absolute.

    Parameters
    ----------
    folders
        Model folders.
    output
        The map.
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
    """Return where the tags of a map say that its model folders were; a folder may no longer be there."""
    try:
        told = json.loads(class_map.tags.get(FOLDER_TAG, "[]"))
    except ValueError:
        return []
    place = Path(class_map.path).absolute().parent
    return [place / Path(text).expanduser() for text in told if isinstance(text, str)]


def fingerprint_folder(folder: Path) -> str:
    """Return the fingerprint of a model folder, the SHA-256 of its description; empty where there is none."""
    try:
        return hashlib.sha256((folder / "model.json").read_bytes()).hexdigest()
    except OSError:
        return ""
