"""Sort the files of a call by their role: which are imagery, and which are left out.

The files of one call are compared with each other. Words that all names share do not distinguish files, and a layer is
left out only where other files are imagery.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from geopointseg.bands.file_role import (
    NAMES,
    STACKABLE,
    Role,
    declared_role,
    described_words,
    is_pixel_size,
    recognize,
    shows_classes,
    split_words,
    without_common_words,
)
from geopointseg.bands.footprint import Footprints
from geopointseg.raster.raster_access import HANDLES, is_text
from geopointseg.raster.scene import Scene


@dataclass(frozen=True)
class SourceFile:
    """A raster file that was named, or found in a folder or container.

    Parameters
    ----------
    scene
        The file, with its bands as it describes them.
    title
        Name of its content: the stem of its file name, the name of a variable, or the key of a STAC asset.
    place
        Name of the folder, STAC item or container that it lies in.
    named
        Whether the user named it, and not a folder or container.
    opened
        Whether the user gave it as a `Scene`.
    role, word, strong, rest
        What was recognized; see `Recognized`.
    """

    scene: Scene
    title: str
    place: str = ""
    named: bool = False
    opened: bool = False
    role: Role = ""
    word: str = ""
    strong: bool = False
    rest: tuple[str, ...] = ()

    @classmethod
    def of(cls, scene: Scene, *, named: bool = False, opened: bool = False) -> SourceFile:
        """Describe a file by its name on disk, or by its label.

        Parameters
        ----------
        scene
            The opened file.
        named
            Whether the user named it, and not a folder or container.
        opened
            Whether the user gave it as a `Scene`.

        Returns
        -------
        SourceFile
            Without a role.
        """
        name = Path(scene.name)
        local = not scene.label and not is_text(scene.path)
        folder = Path(scene.path).parent if local else name.parent
        place = next((part for part in reversed(folder.parts) if not is_pixel_size(part)), "")
        return cls(scene, name.stem, place, named, opened)

    @property
    def is_single(self) -> bool:
        """Whether it has one band."""
        return len(self.scene.bands) == 1

    @property
    def is_imagery(self) -> bool:
        """Whether it may be a scene or a band of one."""
        return self.role in STACKABLE or not self.role

    @property
    def key(self) -> tuple[str, ...]:
        """What the bands of one scene have in common: their folder, and the words that name no band."""
        return (self.place, *self.rest)


@dataclass(frozen=True)
class LeftOut:
    """A file that is not used, and why.

    Parameters
    ----------
    name
        What messages call it.
    reason
        Why, as a phrase: ``quality layer or mask``.
    named
        Whether the user named it.
    """

    name: str
    reason: str
    named: bool = False


def sort_files(
    files: Sequence[SourceFile], asked_as: Callable[[SourceFile], str]
) -> tuple[list[SourceFile], list[LeftOut]]:
    """Return the files that are imagery, with their roles, and those that are left out.

    Parameters
    ----------
    files
        All files of a call.
    asked_as
        Returns the name by which the user or a model asks for a file, or an empty text. A file that is asked for is a
        band whatever it holds.

    Returns
    -------
    imagery
        In the given order. All files where none is imagery by its role.
    left_out
        The others.
    """
    if len(files) == 1:
        return list(files), []
    parts = _parts_of_virtual_rasters(files)
    whole = [file for file in files if file.scene.path not in parts]
    dropped = [
        leave_out(file, f"part of '{parts[file.scene.path]}'")
        for file in files
        if file.scene.path in parts
    ]
    known = [_with_role(f, asked_as) for f in _recognize_together(whole)]
    sure = _confirm_weak_words(known)
    imagery = [file for file in sure if file.is_imagery]
    if not imagery:
        return [replace(file, role="") for file in sure], dropped
    others = [leave_out(file, NAMES[file.role]) for file in sure if not file.is_imagery]
    return imagery, [*dropped, *others]


def leave_out(file: SourceFile, reason: str) -> LeftOut:
    """Return a file as left out."""
    return LeftOut(file.scene.name, reason, file.named)


def _parts_of_virtual_rasters(files: Sequence[SourceFile]) -> dict[str, str]:
    """Return the paths of files that a virtual raster among the files is made of, and the name of that raster."""
    paths = {Path(f.scene.path).resolve(): f.scene.path for f in files if not is_text(f.scene.path)}
    parts: dict[str, str] = {}
    for path in paths.values():
        if Path(path).suffix.lower() == ".vrt":
            behind = {Path(name).resolve() for name in HANDLES.get(path).files}
            found = (paths[name] for name in behind & set(paths))
            parts |= {part: Path(path).name for part in found if part != path}
    return parts


def _recognize_together(files: Sequence[SourceFile]) -> list[SourceFile]:
    """Return the files with the roles in their names, without words that all one-band files share where possible."""
    words = [split_words(file.title) for file in files]
    singles = [k for k, file in enumerate(files) if file.is_single]
    own = dict(zip(singles, without_common_words([words[k] for k in singles]), strict=True))
    known = []
    for k, file in enumerate(files):
        common = set(words[k]) - set(own.get(k, words[k]))
        found = recognize(own.get(k, words[k]), letters=False)
        if not found.role:
            whole = recognize(words[k])
            found = replace(whole, rest=tuple(w for w in whole.rest if w not in common))
        known.append(replace(file, **vars(found)))
    return _with_words_of_folders(known)


def _with_words_of_folders(files: Sequence[SourceFile]) -> list[SourceFile]:
    """Return the files with bands that folders name: ``red/scene.tif`` and ``nir/scene.tif``."""
    titles = [file.title for file in files]
    told = []
    for file in files:
        found = recognize(split_words(file.place))
        by_folder = file.is_single and not file.role and titles.count(file.title) > 1
        if by_folder and found.role == "band":
            file = replace(file, role="band", word=found.word, place="")
        told.append(file)
    return told


def _with_role(file: SourceFile, asked_as: Callable[[SourceFile], str]) -> SourceFile:
    """Return a file with the role from its name and from its own metadata."""
    asked = asked_as(file) if file.is_single else ""
    if asked:
        return replace(
            file, role=file.role if file.role in STACKABLE else "band", word=asked, strong=True
        )
    band = file.scene.bands[0]
    if file.is_single and not file.strong and (band.color or band.wavelength_um):
        return replace(file, role="band")
    dataset = HANDLES.get(file.scene.path)
    declared = declared_role(dataset)
    if declared:
        return replace(file, role=declared, strong=True)
    if file.is_single:
        return _with_described_role(file, described_words(dataset), classes=shows_classes(dataset))
    if file.role in STACKABLE:
        return replace(file, role="")
    return file if file.role else _with_roles_of_bands(file)


def _with_roles_of_bands(file: SourceFile) -> SourceFile:
    """Return a file of several bands with the role that their names indicate, where none of them is a band of a scene."""
    found = [recognize(split_words(band.name)) for band in file.scene.bands]
    told = {one.role for one in found if one.role}
    strong = any(one.strong for one in found)
    enough = strong or 2 * sum(bool(one.role) for one in found) >= len(found)
    if not told or not enough or told & (STACKABLE | {"picture"}):
        return file
    return replace(file, role="map" if "map" in told else "quality", strong=strong)


def _with_described_role(
    file: SourceFile, described: Sequence[str], *, classes: bool
) -> SourceFile:
    """Return a one-band file with the role in its description or its colours where its name has none."""
    if not file.role:
        found = recognize(described)
        file = replace(file, role=found.role, strong=found.strong)
    if classes and (not file.role or (file.role != "band" and not file.strong)):
        return replace(file, role="map", strong=True)
    return file


def _confirm_weak_words(files: Sequence[SourceFile]) -> list[SourceFile]:
    """Return the files without roles from a weak word alone, unless they overlap other imagery.

    A raster of several bands is left out for a word only where overlapping imagery has other bands: another number of
    them, or, beside a product code, another data type.
    """
    weak = [bool(f.role) and f.role != "band" and not (f.is_single and f.strong) for f in files]
    if not any(weak):
        return list(files)
    footprints = Footprints.of([file.scene for file in files])
    imagery = np.array([file.is_imagery for file in files])
    count = np.array([len(file.scene.bands) for file in files])
    dtype = np.array([file.scene.dtype for file in files])
    confirmed = []
    for k, file in enumerate(files):
        if weak[k]:
            others = imagery & (np.arange(len(files)) != k) & footprints.overlapping(k)
            others &= file.is_single | (count != count[k]) | (file.strong & (dtype != dtype[k]))
            file = file if others.any() else replace(file, role="", word="")
        confirmed.append(file)
    return confirmed
