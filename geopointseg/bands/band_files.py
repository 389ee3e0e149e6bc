"""Files as the bands of one scene: one file for each band, their names, and the stack of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from geopointseg.bands.band_names import band_key, is_placeholder, resolve_bands
from geopointseg.bands.file_role import FORMAT_WORDS, split_words, without_common_words
from geopointseg.bands.file_sorting import LeftOut, SourceFile, leave_out
from geopointseg.bands.stack import stack_scenes
from geopointseg.errors import GeopointsegError, RasterError
from geopointseg.progress import NullSink, Reporter
from geopointseg.raster.palette_image import expand_palette
from geopointseg.raster.scene import Scene
from geopointseg.summary import join_names

Files = Sequence[SourceFile]
_WHOLE_DATE = len("2020-08-31")


def list_names(files: Files) -> str:
    """Return the names of files as a phrase, the first of many.

    Examples
    --------
    ``'a.tif', 'b.tif' and 'c.tif'``; ``'a.tif', 'b.tif', 'c.tif', 'd.tif' and 8 more``.
    """
    names = [f"'{file.scene.name}'" for file in files]
    shown = names[:4] if len(names) > 5 else names
    more = [f"{len(names) - len(shown)} more"] if len(shown) < len(names) else []
    parts = [*shown, *more]
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def one_of_each(files: Files) -> tuple[list[list[SourceFile]], list[LeftOut]]:
    """Return the files of each scene, each band once, and the copies that are left out.

    Of one band in several pixel sizes the finest is kept. Files of the same bands whose names differ otherwise are
    several scenes, unless all are of one day.

    Raises
    ------
    RasterError
        If two files are the same band of one scene.
    """
    keys = list(dict.fromkeys(file.key for file in files))
    finest = {key: _finest([file for file in files if file.key == key]) for key in keys}
    kept = [file for file in files if any(file in one for one in finest.values())]
    copies = [leave_out(file, "copy of a band") for file in files if file not in kept]
    double = first_double(kept)
    if double is None:
        return [kept], copies
    spectral = {
        key: {identity(file) for file in group if file.role != "elevation"}
        for key, group in finest.items()
    }
    scenes = {key: found for key, found in spectral.items() if found}
    alike = len({frozenset(found) for found in scenes.values()}) == 1
    one_day = len(files[0].scene.date) == _WHOLE_DATE
    if len(scenes) < 2 or not alike or one_day:
        refuse_double_band(double)
    terrain = [f for key, group in finest.items() if key not in scenes for f in group]
    if first_double(terrain):
        refuse_double_band(double)
    return [[*finest[key], *terrain] for key in scenes], copies


def _finest(files: Files) -> list[SourceFile]:
    """Return the files of one scene without coarser copies of a band, and copies in another format."""
    kept: dict[str, SourceFile] = {}
    for file in files:
        other = kept.setdefault(identity(file), file)
        if other is file:
            continue
        here, there = (max(one.scene.grid.resolution) for one in (file, other))
        if here < there * 0.99:
            kept[identity(file)] = file
        elif here <= there * 1.01 and not _is_other_format(file, other):
            refuse_double_band((other, file))
    return [file for file in files if kept[identity(file)] is file]


def _is_other_format(file: SourceFile, other: SourceFile) -> bool:
    words = [[w for w in split_words(f.title) if w not in FORMAT_WORDS] for f in (file, other)]
    return words[0] == words[1] and file.scene.name != other.scene.name


def first_double(files: Files) -> tuple[SourceFile, SourceFile] | None:
    """Return the first two files of one band."""
    seen: dict[str, SourceFile] = {}
    for file in files:
        other = seen.setdefault(identity(file), file)
        if other is not file:
            return other, file
    return None


def refuse_double_band(double: tuple[SourceFile, SourceFile]) -> NoReturn:
    """Raise `RasterError` that asks which of two files of one band is meant."""
    first, second = (file.scene for file in double)
    names = (first.name, second.name) if first.name != second.name else (first.path, second.path)
    raise RasterError(
        f"'{names[0]}' and '{names[1]}' are both the band '{identity(double[0])}' of one place and date. Expected one file "
        "for each band; name the files of one product only, or leave one of the two out."
    )


def identity(file: SourceFile) -> str:
    """Return the name that identifies a file's band, the same for ``B4`` and ``B04``."""
    return plain_name(file.word or band_key(file.scene.bands[0].name) or file.title)


def plain_name(name: str) -> str:
    """Return the name of a numbered band without leading zeros."""
    return re.sub(r"^b(?:and)?_?0*(\d)", r"b\1", name)


# --- stacks ----------------------------------------------------------------------------------------------------


def stack_files(files: Files, bands: Sequence[str], reporter: Reporter) -> Scene:
    """Return the files of one scene as that scene.

    Parameters
    ----------
    files
        Files of one scene, each band once.
    bands
        The bands that are asked for; the finest of their files sets the pixel size.
    reporter
        Gets messages on which files were stacked.

    Returns
    -------
    Scene
        A single file as it is, several as one virtual raster.
    """
    if len(files) == 1:
        return named_scenes(files)[0]
    stacked = _stack_scenes(files, bands, reporter)
    singles = [file for file in files if file.is_single]
    beside = f" and '{files[0].scene.name}'" if len(singles) < len(files) else ""
    one = len(singles) == 1 and not beside
    reporter.log(
        f"{len(singles)} one-band file{'s' * (len(singles) > 1)} ({join_names(file.scene.name for file in singles)}){beside} {'is' if one else 'are'} taken "
        f"as one scene with the bands {', '.join(stacked.band_names)}."
    )
    return stacked


def _stack_scenes(files: Files, bands: Sequence[str], reporter: Reporter) -> Scene:
    """Return files as one scene with the pixels of the finest band that is asked for.

    Terrain models and indices are resampled to these.
    """
    named = [_expand_named(scene, reporter) for scene in named_scenes(files)]
    date = max(file.scene.date for file in files)
    spectral = [k for k, f in enumerate(files) if not f.is_single or f.role in {"band", ""}]
    finest = _finest_of(named, spectral or range(len(named)))
    stacked = stack_scenes(named, label=_label(files), date=date, pixels_of=finest)
    used = _used(stacked, named, bands)
    if not used:
        return stacked
    needed = _finest_of(named, [k for k in used if k in spectral] or used)
    if needed is finest:
        return stacked
    return stack_scenes(named, label=_label(files), date=date, pixels_of=needed)


def _expand_named(scene: Scene, reporter: Reporter) -> Scene:
    """Return a scene whose colours have the name of the band with the colour table: ``b02_red``."""
    expanded = expand_palette(scene, reporter=reporter)
    if len(scene.bands) != 1 or len(expanded.bands) == 1:
        return expanded
    name = scene.bands[0].label
    named = [replace(band, name=f"{name}_{band.color}") for band in expanded.bands]
    return expanded.with_bands(named)


def _finest_of(scenes: Sequence[Scene], places: Iterable[int]) -> Scene:
    return min((scenes[k] for k in places), key=lambda scene: scene.grid.resolution_m)


def _used(stacked: Scene, scenes: Sequence[Scene], bands: Sequence[str]) -> list[int]:
    """Return the positions of the scenes whose bands are asked for; none where that is unknown."""
    if not bands:
        return []
    try:
        chosen = resolve_bands(stacked, bands, reporter=Reporter(NullSink()))
    except GeopointsegError:  # reported where the bands are chosen
        return []
    places = [k for k, scene in enumerate(scenes) for _ in scene.bands]
    if len(places) != len(stacked.bands):
        return []
    return sorted({places[band.index - 1] for band in chosen.source_bands})


def _label(files: Files) -> str:
    raster = next((file for file in files if not file.is_single), None)
    if raster is not None:
        return raster.scene.name
    spectral = [file.scene.name for file in files if file.role in {"band", ""}]
    names = spectral if len(spectral) > 1 else [file.scene.name for file in files]
    shared = os.path.commonprefix(names)  # noqa: RUF071  names, no folders
    label = re.sub(r"[^_\-. /]*$", "", shared).rstrip("_-. /")
    return label or files[0].place or f"{len(files)} files"


def named_scenes(files: Files) -> list[Scene]:
    """Return the files as scenes; a band without a name of its own gets that of its file."""
    own = [band_key(file.scene.bands[0].name) for file in files]
    named = []
    for file, name in zip(files, own, strict=True):
        plain = not name or is_placeholder(name) or own.count(name) > 1
        if file.is_single and plain and (file.word or name):
            band = replace(file.scene.bands[0], name=file.word or name)
            named.append(file.scene.with_bands([band]))
        else:
            named.append(file.scene)
    return named


def stack_all(files: Files, reporter: Reporter) -> Scene:
    """Return all one-band files of a place as one scene, whatever they hold."""
    if len(files) == 1:
        return files[0].scene
    words = [split_words(file.title) for file in files]
    own = ["_".join(found) for found in without_common_words(words)]
    told = [file.word or name for file, name in zip(files, own, strict=True)]
    if len(set(told)) < len(told):
        told = own if len(set(own)) == len(own) else [Path(f.scene.name).stem for f in files]
    named = [replace(file, word=name) for file, name in zip(files, told, strict=True)]
    return stack_files(named, (), reporter)
