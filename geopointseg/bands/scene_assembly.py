"""Assembly of scenes: one-band files of one footprint and date become the bands of one scene.

Files are grouped by footprint and date. In a group, bands become one scene, with indices and terrain models of the
same footprint as further bands. Files that are no imagery are left out before (`sort_files`). Where the role of a file
is unknown, an error asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

from geopointseg.bands.band_files import (
    Files,
    first_double,
    identity,
    list_names,
    named_scenes,
    one_of_each,
    plain_name,
    refuse_double_band,
    stack_all,
    stack_files,
)
from geopointseg.bands.band_names import asked_names, band_key, common_name
from geopointseg.bands.file_role import NAMES
from geopointseg.bands.file_sorting import LeftOut, SourceFile, leave_out, sort_files
from geopointseg.bands.footprint import Footprints, do_overlap, share_footprint
from geopointseg.errors import RasterError
from geopointseg.progress import Reporter
from geopointseg.raster.scene import Scene

Stacking = Literal["auto", "never", "always"]


@dataclass(frozen=True)
class Assembly:
    """Scenes made of files, and the files that were left out."""

    scenes: tuple[Scene, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    def __add__(self, other: Assembly) -> Assembly:
        """Return both together."""
        return Assembly(self.scenes + other.scenes, self.left_out + other.left_out)


def assemble_scenes(
    files: Files,
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
        Gets messages on what was stacked.

    Returns
    -------
    Assembly
        The scenes, and the files that are not used.

    Raises
    ------
    RasterError
        If the role of a file is unknown; the message asks for it.
    """
    reporter = reporter or Reporter()
    if stack == "never" or len(files) == 1:
        return Assembly(tuple(file.scene for file in files))
    if stack == "always":
        found = Assembly()
        for group in _group(files):
            singles = [file for file in group if file.is_single]
            rasters = tuple(file.scene for file in group if not file.is_single)
            found += Assembly((*([stack_all(singles, reporter)] if singles else []), *rasters))
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


def _group(files: Files, *, by_date: bool = True) -> list[list[SourceFile]]:
    """Return the files by footprint and, unless told otherwise, date."""
    dates = [file.scene.date if by_date else "" for file in files]
    groups = Footprints.of([file.scene for file in files]).groups(dates)
    return [[files[k] for k in group] for group in groups]


def _split_by_date(files: Files) -> tuple[list[list[SourceFile]], list[LeftOut]]:
    """Return the files of each footprint and date, and those that belong to no date.

    A terrain model belongs to every date. An index or a band without a date belongs to the only date of its place.
    Indices and terrain models of a place without other imagery are left out.
    """
    groups: list[list[SourceFile]] = []
    left_out: list[LeftOut] = []
    places = _group(files, by_date=False)
    has_scene = [any(not f.is_single or f.role in {"band", ""} for f in place) for place in places]
    for place, is_scene in zip(places, has_scene, strict=True):
        if any(has_scene) and not is_scene:
            left_out += [leave_out(f, f"{NAMES[f.role]} of another place") for f in place]
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


def _dates_of(place: Files) -> list[str]:
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


def _targets(file: SourceFile, place: Files, dates: Sequence[str]) -> list[str]:
    """Return the dates whose scene a file belongs to."""
    date = file.scene.date
    terrain = file.role == "elevation" and any(other.role != "elevation" for other in place)
    if terrain:
        return list(dates)
    if date in dates:
        return [date]
    return list(dates) if not date and len(dates) == 1 else []


# --- one group -------------------------------------------------------------------------------------------------


def _assemble_group(files: Files, bands: Sequence[str], reporter: Reporter) -> Assembly:
    """Return the scenes of one footprint and date."""
    files, left_out = _drop_unasked(files, bands)
    done = Assembly(left_out=tuple(left_out))
    if len(files) == 1:
        return done + Assembly((named_scenes(files)[0],))
    unknown = [file for file in files if file.is_single and not file.role]
    rasters = [file for file in files if not file.is_single]
    known = [file for file in files if file.is_single and file.role]
    if not known and _are_scenes(unknown, rasters, bands, reporter):
        return done + Assembly(tuple(file.scene for file in files))
    if unknown and (rasters or len(unknown) > 1 or any(f.role == "band" for f in known)):
        _ask_for_role(unknown, rasters, known)
    if len(rasters) > 1:
        return done + _join_each(rasters, known, reporter)
    if rasters:
        return done + _join(rasters[0], known, bands, reporter)
    scenes, copies = one_of_each(files)
    stacks = tuple(stack_files(scene, bands, reporter) for scene in scenes)
    return done + Assembly(stacks, tuple(copies))


def _drop_unasked(files: Files, bands: Sequence[str]) -> tuple[list[SourceFile], list[LeftOut]]:
    """Return the files without those of unknown role that are not asked for, where others are."""
    asked = any(_asked_as(file, bands) for file in files)
    dropped = [file for file in files if asked and file.is_single and not file.role]
    kept = [file for file in files if file not in dropped]
    return kept, [leave_out(file, "not among the bands asked for") for file in dropped]


def _are_scenes(unknown: Files, rasters: Files, bands: Sequence[str], reporter: Reporter) -> bool:
    """Whether files whose names contain no band name are separate scenes of one place.

    Files that the user names one by one are, with a warning. Files of a folder are not.
    """
    if not unknown:
        return True
    if rasters or not (len(bands) == 1 or all(file.named for file in unknown)):
        return False
    if len(bands) != 1 and not all(file.opened for file in unknown):
        reporter.warn(
            f"{list_names(unknown)} are one-band files of one place and date whose names contain no band name; they are taken as "
            f"{len(unknown)} scenes. Set [scene] stack to 'always' to take them as bands of one scene."
        )
    return True


def _ask_for_role(unknown: Files, rasters: Files, known: Files) -> NoReturn:
    others = [*rasters, *known]
    listed = list_names(unknown)
    if not others:
        raise RasterError(
            f"{listed} are one-band files of one place and date, and their names do not show whether they are bands of "
            "one scene. Expected names with the band (red, B04 ...); rename them, or set [scene] stack to 'always' "
            f"for one scene or 'never' for {len(unknown)} scenes."
        )
    one = len(unknown) == 1
    raise RasterError(
        f"{listed} {'has one band and covers' if one else 'have one band each and cover'} the area of '{others[0].scene.name}', and "
        f"{'its name does not show whether it is a band' if one else 'their names do not show whether they are bands'} of "
        f"that scene. Expected names with the band (red, B04, dem ...) or a layer to leave out (mask, QA ...); rename "
        f"{'it' if one else 'them'}, or leave {'it' if one else 'them'} out."
    )


# --- beside a raster of several bands --------------------------------------------------------------------------


def _join_each(rasters: Files, known: Files, reporter: Reporter) -> Assembly:
    """Return several rasters of one place, each with the terrain models of that place."""
    bands = [file for file in known if file.role == "band"]
    if bands:
        raise RasterError(
            f"{list_names(bands)} {'covers' if len(bands) == 1 else 'cover'} the area of {list_names(rasters)}. Expected one "
            "raster with the area of a one-band file, so that it can become a band of it; name the files that belong "
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


def _join(raster: SourceFile, known: Files, bands: Sequence[str], reporter: Reporter) -> Assembly:
    """Return a raster of several bands with one-band files as further bands."""
    scene = raster.scene
    told = {band_key(band.name) for band in scene.bands} | {common_name(b) for b in scene.bands}
    copies = [f for f in known if identity(f) in told | {plain_name(name) for name in told}]
    more = [file for file in known if file not in copies]
    spectral = [f for f in more if f.role == "band" and not f.word.startswith("pan")]
    if spectral and not any(told - {""}):
        raise RasterError(
            f"{list_names(spectral)} {'covers' if len(spectral) == 1 else 'cover'} the area of '{scene.name}', whose "
            f"{len(scene.bands)} bands have no names, so it is unknown whether the band is among them. Expected band "
            "names in that raster (gdal_edit, or band descriptions in QGIS); name its bands, or leave one of the files out."
        )
    left_out = [leave_out(file, f"band of '{scene.name}' already") for file in copies]
    if not more:
        return Assembly((scene,), tuple(left_out))
    groups, coarser = one_of_each(more)
    if len(groups) > 1:
        refuse_double_band(first_double(more) or (more[0], more[-1]))
    joined = stack_files([raster, *groups[0]], bands, reporter)
    return Assembly((joined,), (*left_out, *coarser))


# --- after stacking --------------------------------------------------------------------------------------------


def _require_stacked(scenes: Sequence[Scene], files: Files) -> None:
    """Raise `RasterError` if a band is a separate scene for its box or date, beside a scene that lacks it."""
    lone = {file.scene.path for file in files if file.is_single and file.role == "band"}
    names = [frozenset(scene.band_names) for scene in scenes]
    if len(set(names)) == 1:
        return
    for scene in (scene for scene in scenes if scene.path in lone):
        for other, bands in zip(scenes, names, strict=True):
            alike = scene.date == other.date or not scene.date or not other.date
            if alike and scene.bands[0].label not in bands and do_overlap(scene, other):
                _refuse_apart(scene, other)


def _refuse_apart(scene: Scene, other: Scene) -> NoReturn:
    if scene.grid.crs != other.grid.crs:
        why = "has another coordinate reference system"
        todo = "warp one of them to that of the other (gdalwarp -t_srs)"
    elif share_footprint(scene, other):
        why, todo = "their names do not have one date", "write the date into the names"
    else:
        why, todo = "does not cover the same box", "crop them alike (gdal_translate -projwin)"
    raise RasterError(
        f"'{scene.name}' (band {scene.band_names[0]}) lies in the area of '{other.name}' (bands "
        f"{', '.join(other.band_names[:12])}), but {why}, so they are not stacked. Expected the bands of a scene to have "
        f"one box and date; {todo}, or leave one of them out."
    )
