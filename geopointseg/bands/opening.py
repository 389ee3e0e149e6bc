"""Opening of imagery as scenes: files, folders, STAC items, one-band files, dates.

Training and prediction open imagery through `open_scenes`, so both read a raster in the same way.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rasterio.errors import NotGeoreferencedWarning

from geopointseg.bands.band_names import (
    colored_names,
    declared_colors,
    resolve_bands,
)
from geopointseg.bands.container import (
    list_sub_datasets,
    open_named,
    open_sub_datasets,
    refuse_container,
)
from geopointseg.bands.embedding_sorting import separate_embeddings
from geopointseg.bands.empty_bands import drop_empty_bands, require_filled_bands
from geopointseg.bands.file_role import PICTURE_ENDINGS, RASTER_ENDINGS
from geopointseg.bands.file_sorting import LeftOut, SourceFile
from geopointseg.bands.footprint import Footprints
from geopointseg.bands.scene_assembly import Stacking, assemble_scenes
from geopointseg.bands.stac import is_stac_file, read_stac_scenes
from geopointseg.bands.stack import stack_dates
from geopointseg.errors import InputFileError, RasterError
from geopointseg.progress import Reporter
from geopointseg.raster.decoding import Embedding
from geopointseg.raster.embedding import decode_scene
from geopointseg.raster.embedding_check import require_same_product
from geopointseg.raster.embedding_grid import (
    is_embedding_path,
    open_embeddings,
)
from geopointseg.raster.palette_image import expand_palette
from geopointseg.raster.raster_access import is_text
from geopointseg.raster.scene import Scene, ScenePath
from geopointseg.raster.validity import Nodata
from geopointseg.setting import as_list
from geopointseg.summary import join_names

if TYPE_CHECKING:
    from geopointseg.radiometry.picture_style import PictureStyle

Source = ScenePath | Scene
Dates = Literal["scenes", "channels"]
TrainedOn = Embedding | None | Literal[""]

CONTAINER_ENDINGS = {".nc", ".nc4", ".h5", ".he5", ".hdf", ".hdf5"}
"""Files that a folder without rasters is searched for."""

_Found = tuple[list[SourceFile], list[LeftOut]]


def open_scenes(
    sources: Source | Iterable[Source],
    *,
    bands: Sequence[str] = (),
    style: PictureStyle | None = None,
    stack: Stacking = "auto",
    dates: Dates = "scenes",
    nodata: Nodata = None,
    decode: str = "",
    dimensions: int = 0,
    trained_on: TrainedOn = "",
    reporter: Reporter | None = None,
) -> list[Scene]:
    """Open imagery as scenes that all have the same bands.

    Parameters
    ----------
    sources
        One or several of: a raster, a virtual raster or its XML text, a folder of rasters, a STAC item file, a
        container whose sub-datasets are bands of one scene, a `Scene`.
    bands
        What `resolve_bands` takes; empty takes the bands of the first scene, by name where they have names.
    style
        The picture style that all scenes are given as they are read.
    stack
        Whether one-band files are bands of one scene: ``auto`` where they have one footprint and date, without quality
        layers, maps and the like (`sort_files`); ``always`` wherever they have one footprint and date, whatever they
        hold; ``never``.
    dates
        ``scenes`` takes several dates of one place as more scenes, ``channels`` as channels of one.
    nodata
        A nodata value that the files do not declare.
    decode
        How stored values become the numbers of an embedding; see `decode_scene`.
    dimensions
        Number of dimensions of an embedding that are read, from the first; 0 for all.
    trained_on
        The embedding of the model that maps the scenes, None if it was trained on imagery; by default not checked.
    reporter
        Gets messages on what was stacked, dropped or taken in order, and one line with the scenes and bands that are
        used and the files that are left out.

    Returns
    -------
    list of Scene
        All with the same bands in the same order.

    Raises
    ------
    InputFileError
        If a source is missing, holds no raster, or cannot be read.
    RasterError
        If the bands wanted are lacking, the scenes' bands do not correspond, or the role of a file is unknown.
    """
    reporter = reporter or Reporter()
    files, left_out = _open_files(as_list(sources), bands)
    files = [replace(f, scene=decode_scene(f.scene, decode, reporter)) for f in files]
    files, beside = separate_embeddings(files, dates)
    left_out += beside
    if not isinstance(trained_on, str):
        require_same_product(files[0].scene, trained_on, reporter)
    if nodata is not None:
        files = [replace(file, scene=file.scene.with_nodata(nodata)) for file in files]
    is_embedding = files[0].scene.embedding is not None
    made = assemble_scenes(
        files, "never" if is_embedding else stack, bands=bands, reporter=reporter
    )
    scenes = [expand_palette(scene, reporter=reporter) for scene in made.scenes]
    if dates == "channels":
        scenes = _stack_dates_by_place(scenes, reporter)
    if is_embedding and dimensions and not bands:
        scenes = [scene.with_bands(scene.bands[:dimensions]) for scene in scenes]
    scenes = _choose_bands(scenes, bands, reporter)
    if style is not None:
        scenes = [style.apply(scene, reporter=reporter) for scene in scenes]
    _report(scenes, [*left_out, *made.left_out], reporter)
    return scenes


def _choose_bands(scenes: Sequence[Scene], bands: Sequence[str], reporter: Reporter) -> list[Scene]:
    """Return the scenes with the bands asked for, or with those that all of them have."""
    if not bands:
        kept = [drop_empty_bands(scene, reporter=reporter) for scene in scenes]
        return _with_common_bands(kept, [len(scene.bands) for scene in scenes], reporter)
    chosen = [resolve_bands(scene, bands, reporter=reporter) for scene in scenes]
    for scene in chosen:
        require_filled_bands(scene)
    return chosen


def _open_files(sources: Sequence[Source], bands: Sequence[str]) -> _Found:
    """Return the files behind the sources, and those that cannot be imagery."""
    if not sources:
        raise InputFileError("No raster was named. Expected one at least.")
    files: list[SourceFile] = []
    left_out: list[LeftOut] = []
    for source in sources:
        if isinstance(source, Scene):
            files.append(SourceFile.of(source, named=True, opened=True))
            continue
        path = os.fspath(source)
        found, unread = _open_path(path.strip() if is_text(path) else path, bands)
        files += found
        left_out += unread
    return files, left_out


def _open_path(path: str, bands: Sequence[str]) -> _Found:
    if is_text(path):
        return [SourceFile.of(open_named(path), named=True)], []
    if os.path.exists(path) and is_embedding_path(Path(path)):  # noqa: PTH110 - Path fails on long names
        found = open_embeddings(Path(path))
        return [SourceFile.of(scene, named=True) for scene in found.scenes], [
            LeftOut(*told) for told in found.left_out
        ]
    if os.path.isdir(path):  # noqa: PTH112 - Path fails on long names
        return _open_folder(Path(path), bands)
    if _is_product_metadata(path):
        return _open_folder(Path(path).parent, bands)
    if is_stac_file(Path(path)) and Path(path).is_file():
        scenes = [scene for item in read_stac_scenes(Path(path)) for scene in item]
        return [SourceFile.of(scene) for scene in scenes], []
    return _open_file(path, bands, named=True)


def _open_folder(folder: Path, bands: Sequence[str]) -> _Found:
    """Return the rasters of a folder; pictures without georeference among them are left out."""
    paths = list_rasters(folder)
    files: list[SourceFile] = []
    left_out: list[LeftOut] = []
    for path in paths:
        try:
            found, unread = _open_quietly(path, bands)
        except RasterError:
            if path.suffix.lower() not in PICTURE_ENDINGS:
                raise
            left_out.append(LeftOut(path.name, "picture without coordinate reference system"))
            continue
        files += found
        left_out += unread
    if not files:
        open_named(str(paths[0]))
    return files, left_out


def _open_quietly(path: Path, bands: Sequence[str]) -> _Found:
    """Open a file of a folder without the warning of rasterio that a picture has no georeference."""
    with warnings.catch_warnings():
        if path.suffix.lower() in PICTURE_ENDINGS:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return _open_file(str(path), bands, named=False)


def _open_file(path: str, bands: Sequence[str], *, named: bool) -> _Found:
    inside = list_sub_datasets(path)
    if inside:
        return _open_container(path, inside, bands)
    return [SourceFile.of(open_named(path), named=named)], []


def _open_container(path: str, inside: Sequence[str], bands: Sequence[str]) -> _Found:
    """Return the sub-datasets of a container that is given whole, if they are clearly bands of one scene."""
    files, left_out = open_sub_datasets(path, inside)
    try:
        made = assemble_scenes(files, bands=bands)
    except RasterError as error:
        refuse_container(path, inside, f"they are not clearly bands of one scene ({error})")
    if len(made.scenes) > 1:
        refuse_container(path, inside, "they are not of one footprint and date")
    return files, left_out


def _is_product_metadata(path: str) -> bool:
    """Whether a path is the metadata of a Sentinel-2 product, whose rasters lie beside and below it."""
    return re.fullmatch(r"MTD_MSIL[12]\w*\.xml", Path(path[-64:]).name) is not None


def list_rasters(folder: Path) -> list[Path]:
    """Return the rasters of a folder in the order of their names; those of its sub-folders where it holds none itself.

    So ``X.SAFE`` and its ``IMG_DATA`` hold what lies in their ``R10m``, ``R20m`` and ``R60m``.

    Raises
    ------
    InputFileError
        If there is none.
    """
    found = next(
        (
            found
            for paths in (folder.iterdir, lambda: folder.rglob("*"))
            for endings in (RASTER_ENDINGS | PICTURE_ENDINGS, CONTAINER_ENDINGS)
            if (found := _files_ending(paths(), endings))
        ),
        [],
    )
    if not found:
        raise InputFileError(
            f"The folder '{folder}' holds no raster. Expected files ending in "
            f"{', '.join(sorted(RASTER_ENDINGS | PICTURE_ENDINGS)[:4])} ...; name the rasters themselves, or another folder."
        )
    return found


def _files_ending(paths: Iterable[Path], endings: set[str]) -> list[Path]:
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in endings and path.is_file() and path.name[0] != "."
    )


def _report(scenes: Sequence[Scene], left_out: Sequence[LeftOut], reporter: Reporter) -> None:
    """Report in one line which scenes and bands are used, and which files are left out."""
    for file in left_out:
        if file.named:
            reporter.warn(
                f"'{file.name}' was named and is left out: {file.reason}. To use it as a band, name its band among [scene] "
                "bands."
            )
    names = [scene.name for scene in scenes]
    bands = scenes[0].band_names
    what = f"{len(scenes)} scene{'s' * (len(scenes) > 1)}: {join_names(names, 6)}; "
    what += f"{len(bands)} band{'s' * (len(bands) > 1)}: {join_names(bands, 24)}"
    listed = [f"{file.name} ({file.reason})" for file in left_out]
    reporter.log(
        f"{what}; left out: {join_names(listed, 12) or 'no file'}.",
        scenes=names,
        bands=bands,
        left_out=[{"file": file.name, "reason": file.reason} for file in left_out],
    )


# --- dates -----------------------------------------------------------------------------------------------------


def _stack_dates_by_place(scenes: Sequence[Scene], reporter: Reporter) -> list[Scene]:
    groups = Footprints.of(scenes).groups([""] * len(scenes))
    places = [[scenes[k] for k in group] for group in groups]
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
    colored = next((scene for scene in alike if any(declared_colors(scene))), first)
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
    """Whether bands without names have the same colours, where both scenes declare them."""
    told = zip(declared_colors(scene), declared_colors(other), strict=True)
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
