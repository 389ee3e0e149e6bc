"""From files to scenes: one-band files of one footprint and date are the bands of one scene.

Files are grouped by footprint and date. In a group, bands become one scene, with indices and terrain models of the
same footprint as further bands. Files that are no imagery are left out before (`sort_files`). Where the role of a file
cannot be told, an error asks for it: no file becomes a scene, or is left out, without a word.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NoReturn

from geopointseg.errors import GeopointsegError, RasterError
from geopointseg.progress import NullSink, Reporter
from geopointseg.raster.band_names import (
    asked_names,
    band_key,
    common_name,
    is_placeholder,
    resolve_bands,
)
from geopointseg.raster.role import NAMES, split_words, without_common_words
from geopointseg.raster.scene import Scene
from geopointseg.raster.sorting import (
    LeftOut,
    SourceFile,
    leave_out,
    share_footprint,
    share_ground,
    sort_files,
)
from geopointseg.raster.stack import stack_scenes

Stacking = Literal["auto", "never", "always"]
_Files = Sequence[SourceFile]
_WHOLE_DATE = len("2020-08-31")
_FORMAT_WORDS = {"tif", "tiff", "jp2", "cog"}


@dataclass(frozen=True)
class Assembly:
    """Scenes made of files, and the files that were left out."""

    scenes: tuple[Scene, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    def __add__(self, other: Assembly) -> Assembly:
        """Return both together."""
        return Assembly(self.scenes + other.scenes, self.left_out + other.left_out)


def assemble_scenes(
    files: _Files,
    stack: Stacking = "auto",
    *,
    bands: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> Assembly:
    """Return the scenes that files make, with one-band files that belong together made into one.

    Parameters
    ----------
    files
        All files of a call.
    stack
        ``auto`` stacks by role, footprint and date; ``always`` stacks all one-band files of one footprint and date,
        whatever they hold; ``never`` takes each file as a scene.
    bands
        The bands that are asked for, as in `resolve_bands`.
    reporter
        Told what was stacked.

    Raises
    ------
    RasterError
        If the role of a file cannot be told; the message asks for it.
    """
    reporter = reporter or Reporter()
    if stack == "never" or len(files) == 1:
        return Assembly(tuple(file.scene for file in files))
    if stack == "always":
        found = Assembly()
        for group in _group(files):
            singles = [file for file in group if file.is_single]
            rasters = tuple(file.scene for file in group if not file.is_single)
            found += Assembly((*([_stack_all(singles, reporter)] if singles else []), *rasters))
        return found
    imagery, left_out = sort_files(files, lambda file: _asked_as(file, bands))
    groups, undated = _split_by_date(imagery)
    found = Assembly(left_out=(*left_out, *undated))
    for group in groups:
        found += _assemble_group(group, bands, reporter)
    _require_stacked(found.scenes, imagery)
    return found


def _asked_as(file: SourceFile, bands: Sequence[str]) -> str:
    """Return the name by which a one-band file is asked for; empty where it is not."""
    names = {file.word, band_key(file.title), band_key(file.scene.bands[0].name)} - {""}
    return next((name for name in asked_names(bands) if name in names), "")


# --- groups ----------------------------------------------------------------------------------------------------


def _group(files: _Files, *, by_date: bool = True) -> list[list[SourceFile]]:
    """Return the files by footprint and, unless told otherwise, date."""
    groups: list[list[SourceFile]] = []
    for file in files:
        for group in groups:
            same = not by_date or group[0].scene.date == file.scene.date
            if same and share_footprint(group[0].scene, file.scene):
                group.append(file)
                break
        else:
            groups.append([file])
    return groups


def _split_by_date(files: _Files) -> tuple[list[list[SourceFile]], list[LeftOut]]:
    """Return the files of each footprint and date, and those that belong to no date.

    A terrain model belongs to every date. An index or a band without a date belongs to the only date of its ground.
    Indices and terrain models of ground without other imagery are left out.
    """
    groups: list[list[SourceFile]] = []
    left_out: list[LeftOut] = []
    places = _group(files, by_date=False)
    has_scene = [any(not f.is_single or f.role in {"band", ""} for f in place) for place in places]
    for place, is_scene in zip(places, has_scene, strict=True):
        if any(has_scene) and not is_scene:
            left_out += [leave_out(f, f"{NAMES[f.role]} of other ground") for f in place]
            continue
        dates = _dates_of(place)
        found: dict[str, list[SourceFile]] = {date: [] for date in dates}
        for file in place:
            targets = _targets(file, place, dates)
            for date in targets:
                found[date].append(file)
            if not targets:
                left_out.append(leave_out(file, "index of another date"))
        groups += found.values()
    return groups, left_out


def _dates_of(place: _Files) -> list[str]:
    """Return the dates of the scenes of one footprint, in the given order."""
    for roles in (("band", ""), ("index",)):
        told = [f for f in place if not f.is_single or f.role in roles]
        if told:
            dates = list(dict.fromkeys(file.scene.date for file in told))
            undated = [file for file in told if not file.scene.date]
            bands = [file for file in told if file.role == "band"]
            joins = len(dates) == 2 and bands and all(f.is_single for f in undated)
            strange = [f for f in undated if f.is_single and not f.role]
            if bands and strange and len(dates) > 2:
                _ask_for_role(strange, [], bands)
            return [date for date in dates if date or not joins]
    return list(dict.fromkeys(file.scene.date for file in place))


def _targets(file: SourceFile, place: _Files, dates: Sequence[str]) -> list[str]:
    """Return the dates whose scene a file belongs to."""
    date = file.scene.date
    terrain = file.role == "elevation" and any(other.role != "elevation" for other in place)
    if terrain:
        return list(dates)
    if date in dates:
        return [date]
    return list(dates) if not date and len(dates) == 1 else []


# --- one group -------------------------------------------------------------------------------------------------


def _assemble_group(files: _Files, bands: Sequence[str], reporter: Reporter) -> Assembly:
    """Return the scenes of one footprint and date."""
    files, left_out = _drop_unasked(files, bands)
    done = Assembly(left_out=tuple(left_out))
    if len(files) == 1:
        return done + Assembly((_named(files)[0],))
    unknown = [file for file in files if file.is_single and not file.role]
    rasters = [file for file in files if not file.is_single]
    known = [file for file in files if file.is_single and file.role]
    if not known and _are_scenes(unknown, rasters, bands):
        return done + Assembly(tuple(file.scene for file in files))
    if unknown and (rasters or len(unknown) > 1 or any(f.role == "band" for f in known)):
        _ask_for_role(unknown, rasters, known)
    if len(rasters) > 1:
        return done + _join_each(rasters, known, reporter)
    if rasters:
        return done + _join(rasters[0], known, bands, reporter)
    scenes, copies = _one_of_each(files)
    stacks = tuple(_stack(scene, bands, reporter) for scene in scenes)
    return done + Assembly(stacks, tuple(copies))


def _drop_unasked(files: _Files, bands: Sequence[str]) -> tuple[list[SourceFile], list[LeftOut]]:
    """Return the files without those of unknown role that are not asked for, where others are."""
    asked = any(_asked_as(file, bands) for file in files)
    dropped = [file for file in files if asked and file.is_single and not file.role]
    kept = [file for file in files if file not in dropped]
    return kept, [leave_out(file, "not among the bands asked for") for file in dropped]


def _are_scenes(unknown: _Files, rasters: _Files, bands: Sequence[str]) -> bool:
    """Whether files whose names tell no band are scenes of one ground, each for itself."""
    if not unknown:
        return True
    return not rasters and (len(bands) == 1 or all(file.opened for file in unknown))


def _ask_for_role(unknown: _Files, rasters: _Files, known: _Files) -> NoReturn:
    others = [*rasters, *known]
    listed = _listed(unknown)
    if not others:
        raise RasterError(
            f"{listed} are one-band files of one ground and date, and their names do not tell whether they are bands of "
            "one scene. Expected names that tell the band (red, B04 ...); rename them, or set [scene] stack to 'always' "
            f"for one scene or 'never' for {len(unknown)} scenes."
        )
    one = len(unknown) == 1
    raise RasterError(
        f"{listed} {'has one band' if one else 'have one band each'} and the ground of '{others[0].scene.name}', and "
        f"{'its name does not tell whether it is a band' if one else 'their names do not tell whether they are bands'} of "
        f"that scene. Expected names that tell the band (red, B04, dem ...) or a layer to leave out (mask, QA ...); rename "
        f"{'it' if one else 'them'}, or leave {'it' if one else 'them'} out."
    )


def _listed(files: _Files) -> str:
    names = [f"'{file.scene.name}'" for file in files]
    shown = names[:4] if len(names) > 5 else names
    more = [f"{len(names) - len(shown)} more"] if len(shown) < len(names) else []
    parts = [*shown, *more]
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


# --- beside a raster of several bands --------------------------------------------------------------------------


def _join_each(rasters: _Files, known: _Files, reporter: Reporter) -> Assembly:
    """Return several rasters of one ground, each with the terrain models of that ground."""
    bands = [file for file in known if file.role == "band"]
    if bands:
        raise RasterError(
            f"{_listed(bands)} {'has' if len(bands) == 1 else 'have'} the ground of {_listed(rasters)}. Expected one "
            "raster with the ground of a one-band file, so that it can become a band of it; name the files that belong "
            "together only."
        )
    terrain = [file for file in known if file.role == "elevation"]
    done = Assembly(
        left_out=tuple(
            leave_out(f, "index of one of several scenes") for f in known if f not in terrain
        )
    )
    for raster in rasters:
        done += _join(raster, terrain, (), reporter)
    return done


def _join(raster: SourceFile, known: _Files, bands: Sequence[str], reporter: Reporter) -> Assembly:
    """Return a raster of several bands with one-band files as further bands."""
    scene = raster.scene
    told = {band_key(band.name) for band in scene.bands} | {common_name(b) for b in scene.bands}
    copies = [f for f in known if _identity(f) in told | {_plain(name) for name in told}]
    more = [file for file in known if file not in copies]
    spectral = [f for f in more if f.role == "band" and not f.word.startswith("pan")]
    if spectral and not any(told - {""}):
        raise RasterError(
            f"{_listed(spectral)} {'has' if len(spectral) == 1 else 'have'} the ground of '{scene.name}', whose "
            f"{len(scene.bands)} bands have no names, so it cannot be told whether the band is among them. Expected band "
            "names in that raster (gdal_edit, or band descriptions in QGIS); name its bands, or leave one of the files out."
        )
    left_out = [leave_out(file, f"band of '{scene.name}' already") for file in copies]
    if not more:
        return Assembly((scene,), tuple(left_out))
    groups, coarser = _one_of_each(more)
    if len(groups) > 1:
        _ask_for_one(_first_double(more) or (more[0], more[-1]))
    joined = _stack([raster, *groups[0]], bands, reporter)
    return Assembly((joined,), (*left_out, *coarser))


# --- bands of one scene ----------------------------------------------------------------------------------------


def _one_of_each(files: _Files) -> tuple[list[list[SourceFile]], list[LeftOut]]:
    """Return the files of each scene, each band once, and the copies that are left out.

    Of one band in several pixel sizes the finest is kept. Files of the same bands whose names differ otherwise are
    several scenes, unless all are of one day.
    """
    keys = list(dict.fromkeys(file.key for file in files))
    finest = {key: _finest([file for file in files if file.key == key]) for key in keys}
    kept = [file for file in files if any(file in one for one in finest.values())]
    copies = [leave_out(file, "copy of a band") for file in files if file not in kept]
    double = _first_double(kept)
    if double is None:
        return [kept], copies
    spectral = {
        key: {_identity(file) for file in group if file.role != "elevation"}
        for key, group in finest.items()
    }
    scenes = {key: found for key, found in spectral.items() if found}
    alike = len({frozenset(found) for found in scenes.values()}) == 1
    one_day = len(files[0].scene.date) == _WHOLE_DATE
    if len(scenes) < 2 or not alike or one_day:
        _ask_for_one(double)
    terrain = [f for key, group in finest.items() if key not in scenes for f in group]
    if _first_double(terrain):
        _ask_for_one(double)
    return [[*finest[key], *terrain] for key in scenes], copies


def _finest(files: _Files) -> list[SourceFile]:
    """Return the files of one scene without coarser copies of a band, and copies in another format."""
    kept: dict[str, SourceFile] = {}
    for file in files:
        other = kept.setdefault(_identity(file), file)
        if other is file:
            continue
        here, there = (max(one.scene.grid.resolution) for one in (file, other))
        if here < there * 0.99:
            kept[_identity(file)] = file
        elif here <= there * 1.01 and not _is_other_format(file, other):
            _ask_for_one((other, file))
    return [file for file in files if kept[_identity(file)] is file]


def _is_other_format(file: SourceFile, other: SourceFile) -> bool:
    words = [[w for w in split_words(f.title) if w not in _FORMAT_WORDS] for f in (file, other)]
    return words[0] == words[1] and file.scene.name != other.scene.name


def _first_double(files: _Files) -> tuple[SourceFile, SourceFile] | None:
    """Return the first two files of one band."""
    seen: dict[str, SourceFile] = {}
    for file in files:
        other = seen.setdefault(_identity(file), file)
        if other is not file:
            return other, file
    return None


def _ask_for_one(double: tuple[SourceFile, SourceFile]) -> NoReturn:
    first, second = (file.scene for file in double)
    names = (first.name, second.name) if first.name != second.name else (first.path, second.path)
    raise RasterError(
        f"'{names[0]}' and '{names[1]}' are both the band '{_identity(double[0])}' of one place and date. Expected one file "
        "for each band; name the files of one product only, or leave one of the two out."
    )


def _identity(file: SourceFile) -> str:
    """Return what tells a file's band from others, the same for ``B4`` and ``B04``."""
    return _plain(file.word or band_key(file.scene.bands[0].name) or file.title)


def _plain(name: str) -> str:
    return re.sub(r"^b(?:and)?_?0*(\d)", r"b\1", name)


# --- stacks ----------------------------------------------------------------------------------------------------


def _stack(files: _Files, bands: Sequence[str], reporter: Reporter) -> Scene:
    """Return files as one scene."""
    if len(files) == 1:
        return _named(files)[0]
    stacked = _stack_scenes(files, bands)
    singles = [file for file in files if file.is_single]
    beside = f" and '{files[0].scene.name}'" if len(singles) < len(files) else ""
    one = len(singles) == 1 and not beside
    reporter.log(
        f"{len(singles)} one-band file{'s' * (len(singles) > 1)} ({_few(singles)}){beside} {'is' if one else 'are'} taken "
        f"as one scene with the bands {', '.join(stacked.band_names)}."
    )
    return stacked


def _few(files: _Files) -> str:
    names = ", ".join(file.scene.name for file in files[:3])
    return names if len(files) <= 3 else f"{names} ..."


def _stack_scenes(files: _Files, bands: Sequence[str]) -> Scene:
    """Return files as one scene with the pixels of the finest band that is asked for.

    Terrain models and indices are resampled to these.
    """
    named = _named(files)
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


def _finest_of(scenes: Sequence[Scene], places: Iterable[int]) -> Scene:
    return min((scenes[k] for k in places), key=lambda scene: scene.grid.resolution_m)


def _used(stacked: Scene, scenes: Sequence[Scene], bands: Sequence[str]) -> list[int]:
    """Return the places of the scenes whose bands are asked for; none where that cannot be told."""
    if not bands:
        return []
    try:
        chosen = resolve_bands(stacked, bands, reporter=Reporter(NullSink()))
    except GeopointsegError:  # told to the user where the bands are chosen
        return []
    places = [k for k, scene in enumerate(scenes) for _ in scene.bands]
    if len(places) != len(stacked.bands):
        return []
    return sorted({places[band.index - 1] for band in chosen.source_bands})


def _label(files: _Files) -> str:
    raster = next((file for file in files if not file.is_single), None)
    if raster is not None:
        return raster.scene.name
    spectral = [file.scene.name for file in files if file.role in {"band", ""}]
    names = spectral if len(spectral) > 1 else [file.scene.name for file in files]
    shared = os.path.commonprefix(names)  # noqa: RUF071  names, no folders
    label = re.sub(r"[^_\-. /]*$", "", shared).rstrip("_-. /")
    return label or files[0].place or f"{len(files)} files"


def _named(files: _Files) -> list[Scene]:
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


def _stack_all(files: _Files, reporter: Reporter) -> Scene:
    """Return all one-band files of a place as one scene, whatever they hold."""
    if len(files) == 1:
        return files[0].scene
    words = [split_words(file.title) for file in files]
    own = ["_".join(found) for found in without_common_words(words)]
    told = [file.word or name for file, name in zip(files, own, strict=True)]
    if len(set(told)) < len(told):
        told = own if len(set(own)) == len(own) else [Path(f.scene.name).stem for f in files]
    named = [replace(file, word=name) for file, name in zip(files, told, strict=True)]
    return _stack(named, (), reporter)


# --- after stacking --------------------------------------------------------------------------------------------


def _require_stacked(scenes: Sequence[Scene], files: _Files) -> None:
    """Raise `RasterError` if a band is a scene of its own for its ground or date, beside a scene that lacks it."""
    lone = {file.scene.path for file in files if file.is_single and file.role == "band"}
    for scene in scenes:
        if scene.path not in lone:
            continue
        for other in scenes:
            alike = scene.date == other.date or not scene.date or not other.date
            if alike and scene.band_names[0] not in other.band_names and share_ground(scene, other):
                _refuse_apart(scene, other)


def _refuse_apart(scene: Scene, other: Scene) -> NoReturn:
    if scene.grid.crs != other.grid.crs:
        why = "has another coordinate reference system"
        todo = "warp one of them to that of the other (gdalwarp -t_srs)"
    elif share_footprint(scene, other):
        why, todo = "their names do not tell one date", "write the date into the names"
    else:
        why, todo = "does not cover the same box", "crop them alike (gdal_translate -projwin)"
    raise RasterError(
        f"'{scene.name}' (band {scene.band_names[0]}) lies on the ground of '{other.name}' (bands "
        f"{', '.join(other.band_names[:12])}), but {why}, so they are not stacked. Expected the bands of a scene to have "
        f"one box and date; {todo}, or leave one of them out."
    )
