"""From what a user names to scenes: files, folders, STAC items, one-band files, dates.

Training and prediction open imagery through one verb, `open_scenes`, so a raster means the same to both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from geopointseg.errors import InputFileError, RasterError
from geopointseg.progress import Reporter
from geopointseg.raster.band_names import (
    WAVELENGTHS_UM,
    colored_names,
    drop_empty_bands,
    require_filled_bands,
    resolve_bands,
    told_colors,
)
from geopointseg.raster.palette_image import expand_palette
from geopointseg.raster.picture_style import PictureStyle
from geopointseg.raster.scene import Scene, ScenePath
from geopointseg.raster.stac import is_stac_file, read_stac_scenes
from geopointseg.raster.stack import stack_dates, stack_scenes
from geopointseg.raster.validity import Nodata

Source = ScenePath | Scene
Stacking = Literal["auto", "never", "always"]
Dates = Literal["scenes", "channels"]

RASTER_ENDINGS = {
    ".tif",
    ".tiff",
    ".gtif",
    ".gtiff",
    ".vrt",
    ".jp2",
    ".img",
    ".bsq",
    ".bil",
    ".bip",
    ".png",
    ".jpg",
}
"""Files that a folder is searched for."""

_BAND_TOKEN = re.compile(r"(sr_)?(b\d{1,3}a?|band_?\d{1,3})", re.IGNORECASE)
_EQUAL_GROUND = 0.02


def open_scenes(
    sources: Source | Iterable[Source],
    *,
    bands: Sequence[str] = (),
    style: PictureStyle | None = None,
    stack: Stacking = "auto",
    dates: Dates = "scenes",
    nodata: Nodata = None,
    reporter: Reporter | None = None,
) -> list[Scene]:
    """Open imagery as scenes that all have the same bands.

    Parameters
    ----------
    sources
        One or several of: a raster, a virtual raster, a folder of rasters, a STAC item file, a `Scene`.
    bands
        What `resolve_bands` takes; empty takes the bands of the first scene, by name where they have names.
    style
        The picture style that all scenes are given as they are read.
    stack
        Whether one-band files are bands of one scene: ``auto`` where they lie on the same ground, have the same
        date, and their names differ by what looks like a band (``B04``, ``red``); ``always`` wherever they lie on
        the same ground; ``never``.
    dates
        ``scenes`` takes several dates of one place as more scenes, ``channels`` as channels of one.
    nodata
        A nodata value that the files do not declare.
    reporter
        Told what was stacked, dropped or taken in order.

    Raises
    ------
    InputFileError
        If a source is missing, holds no raster, or cannot be read.
    RasterError
        If the bands wanted are lacking, or the scenes' bands do not correspond.
    """
    reporter = reporter or Reporter()
    files = _open_files(
        [sources] if isinstance(sources, (str, os.PathLike, Scene)) else list(sources)
    )
    if nodata is not None:
        files = [scene.with_nodata(nodata) for scene in files]
    scenes = stack_one_band_files(files, stack, reporter=reporter)
    scenes = [expand_palette(scene, reporter=reporter) for scene in scenes]
    if dates == "channels":
        scenes = _stack_dates_by_place(scenes, reporter)
    if bands:
        scenes = [resolve_bands(scene, bands, reporter=reporter) for scene in scenes]
        for scene in scenes:
            require_filled_bands(scene)
    else:
        kept = [drop_empty_bands(scene, reporter=reporter) for scene in scenes]
        scenes = _with_common_bands(kept, [len(scene.bands) for scene in scenes], reporter)
    if style is not None:
        scenes = [style.apply(scene, reporter=reporter) for scene in scenes]
    return scenes


def _open_files(sources: Sequence[Source]) -> list[Scene]:
    if not sources:
        raise InputFileError("No raster was named. Expected one at least.")
    found: list[Scene] = []
    for source in sources:
        if isinstance(source, Scene):
            found.append(source)
            continue
        path = Path(source)
        if path.is_dir():
            found.extend(Scene.open(file, expand=False) for file in list_rasters(path))
        elif is_stac_file(path) and path.is_file():
            for item in read_stac_scenes(path):
                found.extend(item)
        else:
            found.append(Scene.open(source, expand=False))
    return found


def list_rasters(folder: Path) -> list[Path]:
    """Return the rasters of a folder, without its sub-folders, in the order of their names.

    Raises
    ------
    InputFileError
        If there is none.
    """
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in RASTER_ENDINGS and path.is_file() and path.name[0] != "."
    )
    if not found:
        raise InputFileError(
            f"The folder '{folder}' holds no raster. Expected files ending in "
            f"{', '.join(sorted(RASTER_ENDINGS)[:4])} ...; name the rasters themselves, or another folder."
        )
    return found


# --- one-band files --------------------------------------------------------------------------------------------


def stack_one_band_files(
    scenes: Sequence[Scene], stack: Stacking = "auto", *, reporter: Reporter | None = None
) -> list[Scene]:
    """Return the scenes with one-band files that belong together made into one; see `open_scenes`."""
    reporter = reporter or Reporter()
    if stack == "never":
        return list(scenes)
    groups: list[list[Scene]] = []
    for scene in scenes:
        group = next((group for group in groups if _belongs(scene, group[0])), None)
        if group is None:
            groups.append([scene])
        else:
            group.append(scene)
    result: list[Scene] = []
    for group in groups:
        names = _band_tokens(group) if len(group) > 1 else []
        if names and (stack == "always" or all(map(_is_band, group, names))):
            result.append(_stack_named(group, names, reporter))
        else:
            result.extend(group)
    return result


def _belongs(scene: Scene, other: Scene) -> bool:
    """Whether two one-band files may be bands of one scene."""
    single = len(scene.bands) == 1 and len(other.bands) == 1
    return single and scene.date == other.date and _share_ground(scene, other)


def _stack_named(group: Sequence[Scene], names: Sequence[str], reporter: Reporter) -> Scene:
    named = [
        scene.with_bands([replace(scene.bands[0], name=scene.bands[0].name or name.lower())])
        for scene, name in zip(group, names, strict=True)
    ]
    label = os.path.commonprefix([scene.name for scene in group])  # noqa: RUF071  names, no folders
    label = label.rstrip("_-./ bB")
    stacked = stack_scenes(named, label=label or f"{len(group)} files", date=group[0].date)
    reporter.log(
        f"{len(group)} one-band files ({', '.join(s.name for s in group[:3])} ...) are taken as one scene with the bands "
        f"{', '.join(stacked.band_names)}."
    )
    return stacked


def _band_tokens(group: Sequence[Scene]) -> list[str]:
    """Return the part of each name in which the files differ, or the band's own name."""
    split = [re.split(r"[_\-. /]+", Path(scene.name).stem) for scene in group]
    if len({len(tokens) for tokens in split}) == 1:
        places = [
            k for k in range(len(split[0])) if len({tokens[k] for tokens in split}) == len(split)
        ]
        likely = [k for k in places if all(_is_band_token(tokens[k]) for tokens in split)]
        if likely or places:
            place = (likely or places)[0]
            return [
                scene.bands[0].name or tokens[place]
                for scene, tokens in zip(group, split, strict=True)
            ]
    found = [next((t for t in tokens if _is_band_token(t)), "") for tokens in split]
    stems = [Path(scene.name).stem for scene in group]
    usable = all(found) and len(set(found)) == len(found)
    return [s.bands[0].name or n for s, n in zip(group, found if usable else stems, strict=True)]


def _is_band(scene: Scene, name: str) -> bool:
    """Whether a one-band file is a band of several by its name, or by the colour that is told of it."""
    return _is_band_token(name) or scene.bands[0].color in WAVELENGTHS_UM


def _is_band_token(token: str) -> bool:
    return token.lower() in WAVELENGTHS_UM or _BAND_TOKEN.fullmatch(token) is not None


def _share_ground(a: Scene, b: Scene) -> bool:
    """Whether two scenes cover the same box, to a few hundredths of its size."""
    if a.grid.crs != b.grid.crs:
        return False
    sides = (a.grid.bounds[2] - a.grid.bounds[0], a.grid.bounds[3] - a.grid.bounds[1])
    gaps = [abs(p - q) for p, q in zip(a.grid.bounds, b.grid.bounds, strict=True)]
    return max(gaps) <= _EQUAL_GROUND * min(sides)


def _stack_dates_by_place(scenes: Sequence[Scene], reporter: Reporter) -> list[Scene]:
    places: list[list[Scene]] = []
    for scene in scenes:
        for place in places:
            if _share_ground(place[0], scene):
                place.append(scene)
                break
        else:
            places.append([scene])
    counts = sorted({len(place) for place in places})
    if len(counts) > 1:
        raise RasterError(
            f"The places have {', '.join(map(str, counts))} dates. Dates as channels need equally many everywhere; leave "
            "scenes out, or take the dates as more scenes."
        )
    if counts == [1]:
        raise RasterError(
            f"'{scenes[0].name}' is the only date of its place. Dates as channels need two at least; name more scenes of "
            "one place, or take the dates as scenes."
        )
    stacked = [stack_dates(place) for place in places]
    for scene in stacked:
        reporter.log(f"'{scene.name}' has the channels {', '.join(scene.band_names)}.")
    return stacked


# --- bands of several scenes -----------------------------------------------------------------------------------


def _with_common_bands(
    scenes: Sequence[Scene], counts: Sequence[int], reporter: Reporter
) -> list[Scene]:
    """Return the scenes with the bands that all of them have, in the order of the first.

    ``counts`` are their numbers of bands before empty ones were dropped.
    """
    first = scenes[0]
    alike = [scene for scene in scenes if scene.band_names == first.band_names]
    colored = next((scene for scene in alike if any(told_colors(scene))), first)
    if len(alike) == len(scenes) and all(_agree_in_color(scene, colored) for scene in scenes):
        return list(scenes)
    named = [all(band.name for band in scene.bands) for scene in scenes]
    nameless = not any(band.name for scene in scenes for band in scene.bands)
    if all(named) or (nameless and len(set(counts)) == 1):
        return _by_common_names(scenes, colored, reporter)
    if all(len(scene.bands) == len(first.bands) for scene in scenes):
        wanted = colored_names(scenes[named.index(True)] if any(named) else colored)
        return [resolve_bands(scene, wanted, reporter=reporter) for scene in scenes]
    other = next(scene for scene in scenes if len(scene.bands) != len(first.bands))
    raise RasterError(
        f"'{other.name}' has {len(other.bands)} bands ({', '.join(other.band_names[:12])}) and '{first.name}' "
        f"{len(first.bands)} ({', '.join(first.band_names[:12])}). Expected the same bands in all scenes; choose common "
        "ones by number or name."
    )


def _agree_in_color(scene: Scene, other: Scene) -> bool:
    """Whether bands without names have the same colours, where both scenes tell them."""
    told = zip(told_colors(scene), told_colors(other), strict=True)
    return all(a == b for a, b in told if a and b)


def _by_common_names(scenes: Sequence[Scene], colored: Scene, reporter: Reporter) -> list[Scene]:
    """Return the scenes with the bands whose names all have; ``colored`` has the names of the first, and colours."""
    shared = [name for name in scenes[0].band_names if all(name in s.band_names for s in scenes)]
    if not shared:
        listed = "; ".join(f"'{s.name}': {', '.join(s.band_names[:8])}" for s in scenes[:3])
        raise RasterError(
            f"The scenes have no band in common ({listed}). Expected some bands of one name in all; name the bands of the "
            "files alike, or choose them by number."
        )
    dropped = sorted({name for scene in scenes for name in scene.band_names} - set(shared))
    if dropped:
        one = len(dropped) == 1
        reporter.warn(
            f"{'Band' if one else 'Bands'} {', '.join(dropped)} {'is' if one else 'are'} not in all {len(scenes)} scenes "
            f"and left out; of each, {', '.join(shared)} {'is' if len(shared) == 1 else 'are'} used."
        )
    named = zip(colored.band_names, colored_names(colored), strict=True)
    wanted = [spec for name, spec in named if name in shared]
    return [resolve_bands(scene, wanted, reporter=reporter) for scene in scenes]
