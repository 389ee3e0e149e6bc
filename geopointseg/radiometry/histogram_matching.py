"""Write a raster matched to a reference, window by window."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.bands.band_names import colored_names
from geopointseg.bands.opening import open_scenes
from geopointseg.errors import ConfigError, InputFileError, RasterError
from geopointseg.model_document import read_model_document
from geopointseg.progress import Reporter
from geopointseg.radiometry.band_statistics import (
    SceneStatistics,
    Weighting,
    compute_statistics,
    merge_statistics,
)
from geopointseg.radiometry.distribution import BandStatistics
from geopointseg.radiometry.invariant_pixels import FEWEST_PIXELS, Thumbnail, find_invariant
from geopointseg.radiometry.picture_style import PictureStyle
from geopointseg.radiometry.radiometric_transform import (
    MatchMethod,
    MixtureDifference,
    RadiometricTransform,
    compare_mixtures,
    fit_matching,
)
from geopointseg.radiometry.storage_encoding import StorageEncoding, choose_encoding, output_profile
from geopointseg.raster.crs import keep_crs
from geopointseg.raster.curve import look_up, table_values
from geopointseg.raster.prefetch import map_ahead
from geopointseg.raster.publishing import (
    raster_files,
    refuse_overwriting_inputs,
    require_ending,
    whole_file,
)
from geopointseg.raster.scene import Scene, ScenePath
from geopointseg.summary import described, join_names

Reference = ScenePath | Scene | SceneStatistics | PictureStyle

_ONE = (str, os.PathLike, Scene, SceneStatistics, PictureStyle)
_WINDOW_VALUES = 1 << 23
_THUMBNAIL_PX = 250_000


@described
@dataclass(frozen=True)
class Matching:
    """What `match_raster` did.

    Parameters
    ----------
    source, output
        The raster that was read, and the one that was written.
    shown
        The first reference that is a raster, for pictures; None where there is none.
    transform
        The curves.
    before, after
        Statistics of the raster as it was and as it is.
    reference
        Statistics of the reference; None for ``equalize`` without one.
    mixture
        Difference of the class mixes of raster and reference; None without a reference.
    seconds
        Duration in seconds.
    """

    source: Scene
    output: Path
    shown: Scene | None
    transform: RadiometricTransform
    before: SceneStatistics
    after: SceneStatistics
    reference: SceneStatistics | None
    mixture: MixtureDifference | None
    seconds: float

    def _summary(self) -> list[str]:
        return [
            f"Matching of '{self.source.name}', written to '{self.output}' in {self.seconds:.1f} s",
            f"bands: {join_names(self.source.band_names)}",
        ]

    def tables(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """Return mean and standard deviation of each band before, after, and in the reference, for the terminal."""
        headings = ["band", "mean", "std", "mean after", "std after", "mean wanted", "std wanted"]
        wanted = self.reference.bands if self.reference else (None,) * len(self.before.bands)
        rows = [
            [before.name, *_two(before), *_two(after), *_two(reference)]
            for before, after, reference in zip(
                self.before.bands, self.after.bands, wanted, strict=True
            )
        ]
        return [(f"Matched by {self.transform.method}", headings, rows)]

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        wanted = self.reference.bands if self.reference else (None,) * len(self.before.bands)
        return {
            "output": str(self.output),
            "method": self.transform.method,
            "bands": [
                {
                    "name": b.name,
                    "before": _moments(b),
                    "after": _moments(a),
                    "reference": _moments(r),
                }
                for b, a, r in zip(self.before.bands, self.after.bands, wanted, strict=True)
            ],
            "mixture_difference": None if self.mixture is None else round(self.mixture.share, 4),
            "seconds": round(self.seconds, 3),
        }


def match_raster(
    raster: ScenePath | Scene,
    references: Reference | Sequence[Reference],
    output: ScenePath,
    *,
    method: MatchMethod = "histogram",
    weighting: Weighting = "pixel",
    invariant: bool = False,
    mix_bands: bool = False,
    reporter: Reporter | None = None,
) -> Matching:
    """Write a raster whose values are matched to those of a reference, band by band.

    The raster is read twice: to count its values (unless its statistics are cached), and to transform them. Memory is
    that of a few windows for any size. The output has the grid and bands of the raster, and the data
    type, scale and compression in which the reference's values fit. Nodata stays nodata, and no valid pixel
    gets its value.

    Parameters
    ----------
    raster
        The raster to be matched.
    references
        What it is matched to: rasters, scenes, folders, a model folder that keeps the style of its training scenes,
        or statistics. Several are merged.
    output
        GeoTIFF to write.
    method
        See `fit_matching`; ``equalize`` needs no reference.
    weighting
        How several references are merged: with equal weight per ``pixel``, or by ``area``.
    invariant
        Fit only to common pixels that did not change between raster and reference (one reference), by the ``midpoint``
        method, extrapolated beyond their range.
    mix_bands
        With ``invariant``: mix the bands linearly before, for another camera or haze (`fit_mixing`).
    reporter
        Gets the progress and warnings.

    Returns
    -------
    Matching
        What was done; the transform and the statistics before and after.

    Raises
    ------
    InputFileError
        If a file is missing or no raster.
    ConfigError
        If bands are mixed without ``invariant``.
    RasterError
        If the bands do not correspond, one side holds no image, or too few pixels are unchanged.
    OutputError
        If the output cannot be written, or is a file of the raster or of a reference.
    """
    reporter = reporter or Reporter()
    started = time.perf_counter()
    if mix_bands and not invariant:
        raise ConfigError(
            "Band mixing was requested without invariant pixels. It can only be fitted where both images show the same "
            "area; ask for invariant pixels too."
        )
    require_ending(Path(output), "GeoTIFF")
    scene = _open_one(raster, reporter)
    listed = [references] if isinstance(references, _ONE) else list(references)
    known, opened = _gather_references(listed, scene, reporter)
    refuse_overwriting_inputs([output], raster_files(read.path for read in (scene, *opened)))
    before = compute_statistics(scene, reporter=reporter)
    reference = _merge_references(known, opened, weighting, reporter)
    if invariant:
        transform = _fit_invariant(scene, before, known, opened, reporter, mix_bands=mix_bands)
    else:
        transform = fit_matching(before, reference, method, reporter=reporter)
    encoding = choose_encoding(scene, transform, opened)
    _write(scene, transform, encoding, Path(output), reporter)
    return Matching(
        scene,
        Path(output),
        opened[0] if opened else None,
        transform,
        before,
        _after(before, transform, Path(output)),
        reference,
        None if reference is None else compare_mixtures(before, reference),
        time.perf_counter() - started,
    )


def _fit_invariant(
    scene: Scene,
    before: SceneStatistics,
    known: Sequence[SceneStatistics],
    opened: Sequence[Scene],
    reporter: Reporter,
    *,
    mix_bands: bool,
) -> RadiometricTransform:
    if len(opened) != 1 or known:
        raise RasterError(
            f"{len(opened) + len(known)} references were given. Unchanged pixels are found between two scenes; name one "
            "raster."
        )
    thumbnails = [Thumbnail.of(opened[0], _THUMBNAIL_PX)]
    pair = find_invariant(scene, thumbnails, mix_bands=mix_bands, reporter=reporter)
    if pair is None:
        raise RasterError(
            f"'{scene.name}' and '{opened[0].name}' share too few unchanged pixels. Expected {FEWEST_PIXELS} at "
            "least; match without that restriction, or name a reference of the same place."
        )
    return pair.fit(before)


def _gather_references(
    references: Sequence[Reference], scene: Scene, reporter: Reporter
) -> tuple[list[SceneStatistics], list[Scene]]:
    """Return references whose statistics are known, and scenes with the bands of the raster."""
    known, sources = [], []
    for reference in references:
        if isinstance(reference, SceneStatistics):
            known.append(reference)
        elif isinstance(reference, PictureStyle):
            known.append(reference.reference)
        elif not isinstance(reference, Scene) and _is_model(reference):
            known.append(read_model_style(Path(reference)).reference)
        else:
            sources.append(reference)
    if not sources:
        return known, []
    is_told = any(band.name or band.color for band in scene.bands)
    bands = colored_names(scene) if is_told else ()
    opened = open_scenes(sources, bands=bands, reporter=reporter)
    return known, [_with_names_of(found, scene) for found in opened] if bands else opened


def _open_one(raster: ScenePath | Scene, reporter: Reporter) -> Scene:
    scenes = open_scenes(raster, reporter=reporter)
    if len(scenes) > 1:
        raise RasterError(
            f"'{raster}' holds {len(scenes)} scenes ({', '.join(scene.name for scene in scenes[:4])} ...). Expected one "
            "raster to be matched; name one of them."
        )
    if scenes[0].embedding is not None:
        raise RasterError(
            f"'{scenes[0].name}' is an embedding. Expected imagery to be matched, because vectors are no radiances; use it as it is."
        )
    return scenes[0]


def _is_model(reference: ScenePath) -> bool:
    return os.path.isfile(Path(reference) / "model.json")  # noqa: PTH113 - Path fails on XML text


def _with_names_of(reference: Scene, scene: Scene) -> Scene:
    """Return a reference whose bands, in the order of the scene's, are called like them."""
    pairs = zip(reference.bands, scene.band_names, strict=True)
    return reference.with_bands([replace(band, name=name) for band, name in pairs])


def read_model_style(folder: Path) -> PictureStyle:
    """Read the style of its training scenes that a model folder keeps.

    Raises
    ------
    InputFileError
        If the folder's model.json cannot be read, or keeps no style.
    """
    try:
        content = read_model_document(folder / "model.json")
    except (OSError, ValueError) as error:
        raise InputFileError(
            f"'{folder / 'model.json'}' cannot be read ({error}). Expected a model folder made by `train`."
        ) from error
    style = content.get("style") or (content.get("metadata") or {}).get("style")
    if not style:
        raise InputFileError(
            f"The model folder '{folder}' keeps no picture style. Expected one trained with [scene] matching other "
            "than 'none'; name one of its training scenes as the reference instead."
        )
    return PictureStyle.from_json(style)


def _merge_references(
    known: Sequence[SceneStatistics],
    opened: Sequence[Scene],
    weighting: Weighting,
    reporter: Reporter,
) -> SceneStatistics | None:
    parts = list(known)
    if opened:
        parts.append(compute_statistics(opened, weighting=weighting, reporter=reporter))
    return merge_statistics(parts) if parts else None


# --- writing ---------------------------------------------------------------------------------------------------


def _write(
    scene: Scene,
    transform: RadiometricTransform,
    encoding: StorageEncoding,
    output: Path,
    reporter: Reporter,
) -> None:
    windows = list(scene.windows(_WINDOW_VALUES))
    tables = _make_tables(scene, transform, encoding)
    moved = scene.with_radiometry(transform)
    move = partial(_move_window, moved, encoding, tables)
    with whole_file(output) as temporary:
        with (
            reporter.stage("match", scene.grid.height * scene.grid.width) as advance,
            rasterio.open(temporary, "w", **output_profile(scene, encoding)) as target,
        ):
            target.descriptions = tuple(band.name or None for band in scene.bands)
            if (encoding.scale, encoding.offset) != (1.0, 0.0):
                target.scales = (encoding.scale,) * len(scene.bands)
                target.offsets = (encoding.offset,) * len(scene.bands)
            for window, values in zip(windows, map_ahead(move, windows), strict=True):
                target.write(values, window=window)
                advance(window.width * window.height)
        keep_crs(temporary, scene.grid.crs, scene.grid.epoch)


def _make_tables(
    scene: Scene, transform: RadiometricTransform, encoding: StorageEncoding
) -> list[NDArray[Any]] | None:
    """Return a table from stored to stored value per band, where the raster's type allows."""
    if transform.mixing is not None or not scene.is_stored_plainly:
        return None
    stored = table_values(scene.dtype)
    return [
        encoding.encode(curve.apply(stored * band.scale + band.offset))
        for curve, band in zip(transform.curves, scene.bands, strict=True)
    ]


def _move_window(
    scene: Scene, encoding: StorageEncoding, tables: list[NDArray[Any]] | None, window: Window
) -> NDArray[Any]:
    if tables is None:
        chip = scene.read(window)
        values, valid = encoding.encode(chip.image), chip.valid
    else:
        stored, valid = scene.read_stored(window)
        places = scene.stored_positions
        values = np.empty((len(tables), *valid.shape), dtype=encoding.dtype)
        for plane, table, band in zip(values, tables, scene.bands, strict=True):
            look_up(table, stored[places[band.index]], out=plane)
    if encoding.nodata is not None and not valid.all():
        np.copyto(values, np.array(encoding.nodata, dtype=encoding.dtype), where=~valid)
    return values


# --- results ---------------------------------------------------------------------------------------------------


def _after(
    statistics: SceneStatistics, transform: RadiometricTransform, output: Path
) -> SceneStatistics:
    """Return the statistics of the written raster; after curves alone they are computed without reading it."""
    if transform.mixing is None:
        return _moved(statistics, transform)
    return compute_statistics(Scene.open(output), cache=False, reporter=Reporter())


def _moved(statistics: SceneStatistics, transform: RadiometricTransform) -> SceneStatistics:
    """Return the exact statistics of the transformed scene: each counted value is transformed."""
    bands = []
    for band, curve in zip(statistics.bands, transform.curves, strict=True):
        values, place = np.unique(curve.apply(band.values).astype(np.float64), return_inverse=True)
        counts = np.bincount(place, weights=band.counts) if band.values.size else band.counts
        bands.append(BandStatistics.from_counts(band.name, values, counts))
    sample = transform.apply(statistics.sample.T[:, None])[:, 0].T
    return SceneStatistics(tuple(bands), sample, "float32", f"{statistics.source} matched")


def _two(band: BandStatistics | None) -> list[str]:
    return ["", ""] if band is None else [f"{band.mean:.5g}", f"{band.std:.5g}"]


def _moments(band: BandStatistics | None) -> dict[str, float] | None:
    if band is None:
        return None
    quantiles = dict(zip(("p2", "p50", "p98"), band.quantile([0.02, 0.5, 0.98]), strict=True))
    numbers = {"mean": band.mean, "std": band.std, "min": band.minimum, "max": band.maximum}
    return {k: round(float(v), 6) for k, v in (numbers | quantiles).items()}
