"""Write a raster in the look of a reference, window by window."""

from __future__ import annotations

import json
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
from geopointseg.raster.band import Band
from geopointseg.raster.crs import keep_crs
from geopointseg.raster.curve import Curve, look_up, table_values
from geopointseg.raster.prefetch import map_ahead
from geopointseg.raster.publishing import raster_files, refuse_overwriting_inputs, whole_file
from geopointseg.raster.scene import HANDLES, Scene, ScenePath
from geopointseg.summary import described, join_names

Reference = ScenePath | Scene | SceneStatistics | PictureStyle

_ONE = (str, os.PathLike, Scene, SceneStatistics, PictureStyle)
_LOSSLESS = {"deflate", "lzw", "zstd", "packbits", "lerc", "lzma"}
_WINDOW_VALUES = 1 << 23
_SHARED_PX = 250_000


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
        How far the class mixes of raster and reference differ; None without a reference.
    seconds
        How long it took.
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

    def _table(self) -> list[tuple[str, list[str], list[list[str]]]]:
        return self.tables()

    def tables(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """Return mean and deviation of each band before, after, and in the reference, for the terminal."""
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
    """Write a raster whose values are moved to look like a reference's, band by band.

    The raster is read twice: to count its values (unless they are known from before), and to move them. Memory
    is that of a few windows, whatever the size. The output has the grid and bands of the raster, and the data
    type, scale and compression in which the reference's values fit. Nodata stays nodata, and no valid pixel
    takes its value.

    Parameters
    ----------
    raster
        The raster to be changed in look.
    references
        What it shall look like: rasters, scenes, folders, a model folder that keeps its training scenes' style,
        or statistics. Several are taken together.
    output
        GeoTIFF to write.
    method
        See `fit_matching`; ``equalize`` may go without a reference.
    weighting
        How several references are put together: every ``pixel`` alike, or by ground ``area``.
    invariant
        Fit only to pixels of shared ground that did not change between raster and reference (one reference); the
        method is then that of matched ranks, drawn on beyond them.
    mix_bands
        With ``invariant``: mix the bands linearly before, as another camera or haze does (`fit_mixing`).
    reporter
        Told the progress and what may spoil the result.

    Returns
    -------
    Matching
        What was done; the transform and the statistics before and after.

    Raises
    ------
    InputFileError
        If a file is missing or no raster.
    ConfigError
        If bands shall be mixed without ``invariant``.
    RasterError
        If the bands do not correspond, one side holds no image, or no ground is shared.
    OutputError
        If the output cannot be written, or is a file of the raster or of a reference.
    """
    reporter = reporter or Reporter()
    started = time.perf_counter()
    if mix_bands and not invariant:
        raise ConfigError(
            "Bands shall be mixed, but not by unchanged pixels. How bands mix can only be told where both images show the "
            "same ground; ask for invariant pixels too."
        )
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
    encoding = _choose_encoding(scene, transform, opened)
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
    ground = [Thumbnail.of(opened[0], _SHARED_PX)]
    pair = find_invariant(scene, ground, mix_bands=mix_bands, reporter=reporter)
    if pair is None:
        raise RasterError(
            f"'{scene.name}' and '{opened[0].name}' share too little unchanged ground. Expected {FEWEST_PIXELS} pixels at "
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
    return known, [_called_alike(found, scene) for found in opened] if bands else opened


def _open_one(raster: ScenePath | Scene, reporter: Reporter) -> Scene:
    scenes = open_scenes(raster, reporter=reporter)
    if len(scenes) > 1:
        raise RasterError(
            f"'{raster}' holds {len(scenes)} scenes ({', '.join(scene.name for scene in scenes[:4])} ...). Expected one "
            "raster to be matched; name one of them."
        )
    return scenes[0]


def _is_model(reference: ScenePath) -> bool:
    return os.path.isfile(Path(reference) / "model.json")  # noqa: PTH113 - Path fails on XML text


def _called_alike(reference: Scene, scene: Scene) -> Scene:
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
        content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputFileError(
            f"'{folder / 'model.json'}' cannot be read ({error}). Expected a model folder made by 'train'."
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


# --- encoding --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Encoding:
    """How physical values are stored in the output."""

    dtype: str
    scale: float
    offset: float
    nodata: float | None

    def store(self, physical: NDArray[np.float32]) -> NDArray[Any]:
        """Return stored values of valid pixels: rounded, clipped, and never the nodata value."""
        if np.dtype(self.dtype).kind == "f":
            return np.asarray(physical, dtype=self.dtype)
        levels = (physical.astype(np.float64) - self.offset) / self.scale
        lowest, highest = _limits(self.dtype)
        stored = np.clip(np.rint(levels), lowest, highest).astype(self.dtype)
        if self.nodata is not None:
            step = -1 if self.nodata == highest else 1
            stored[stored == self.nodata] += step
        return stored


def _limits(dtype: str) -> tuple[int, int]:
    """Return the smallest and largest integer of a type that 64-bit floats hold, as rasterio writes nodata."""
    info, exact = np.iinfo(dtype), 2**53
    return max(int(info.min), -exact), min(int(info.max), exact)


def _choose_encoding(
    scene: Scene, transform: RadiometricTransform, references: Sequence[Scene]
) -> _Encoding:
    """Store as the reference does, where there is one of equal bands, else as the raster, else as floats."""
    pattern = references[0] if references else scene
    first = pattern.bands[0]
    alike = all((b.scale, b.offset) == (first.scale, first.offset) for b in pattern.bands)
    low = min(curve.target[0] for curve in transform.curves)
    high = max(curve.target[-1] for curve in transform.curves)
    dtype, scale, offset = pattern.dtype, first.scale, first.offset
    if np.dtype(dtype).kind in "iu":
        lowest, highest = _limits(dtype)
        levels = (high - low) / abs(scale)
        ends = ((low - offset) / scale, (high - offset) / scale)
        fits = alike and levels >= 16 and lowest <= min(ends) and max(ends) <= highest
        if not fits and pattern is scene:
            dtype, scale, offset = "float32", 1.0, 0.0
    if np.dtype(dtype).kind == "f":
        scale, offset = 1.0, 0.0
    return _Encoding(dtype, scale, offset, _choose_nodata(scene, dtype, pattern))


def _choose_nodata(scene: Scene, dtype: str, pattern: Scene) -> float | None:
    """Return the raster's nodata value, or the reference's, or a limit of the type; None where none is needed."""
    kind = np.dtype(dtype).kind
    needed = any(band.may_lack_pixels for band in scene.bands)
    if kind == "f":
        return float("nan")
    if not needed and np.dtype(scene.dtype).kind != "f":
        return None
    lowest, highest = _limits(dtype)
    for band in (*scene.bands, *pattern.bands):
        value = band.nodata
        if value is not None and lowest <= value <= highest and value == round(value):
            return float(value)
    return float(lowest)


# --- writing ---------------------------------------------------------------------------------------------------


def _write(
    scene: Scene,
    transform: RadiometricTransform,
    encoding: _Encoding,
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
            rasterio.open(temporary, "w", **_profile(scene, encoding)) as target,
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
    scene: Scene, transform: RadiometricTransform, encoding: _Encoding
) -> list[NDArray[Any]] | None:
    """Return stored value to stored value, a table a band, where the raster's type allows."""
    if transform.mixing is not None or not scene.is_stored_plainly:
        return None
    return [
        encoding.store(_through(curve, band, scene.dtype))
        for curve, band in zip(transform.curves, scene.bands, strict=True)
    ]


def _through(curve: Curve, band: Band, dtype: str) -> NDArray[np.float32]:
    return curve.apply(table_values(dtype) * band.scale + band.offset)


def _move_window(
    scene: Scene, encoding: _Encoding, tables: list[NDArray[Any]] | None, window: Window
) -> NDArray[Any]:
    if tables is None:
        chip = scene.read(window)
        values, valid = encoding.store(chip.image), chip.valid
    else:
        stored, valid = scene.read_stored(window)
        places = scene.stored_positions
        values = np.empty((len(tables), *valid.shape), dtype=encoding.dtype)
        for plane, table, band in zip(values, tables, scene.bands, strict=True):
            look_up(table, stored[places[band.index]], out=plane)
    if encoding.nodata is not None and not valid.all():
        np.copyto(values, np.array(encoding.nodata, dtype=encoding.dtype), where=~valid)
    return values


def _profile(scene: Scene, encoding: _Encoding) -> dict[str, Any]:
    """Return how the output is written: in blocks and compressed like the raster, where that loses nothing."""
    source = HANDLES.get(scene.path)
    compression = source.compression.name.lower() if source.compression else ""
    rows, cols = scene.block_shape
    tiled = cols < scene.grid.width and rows % 16 == 0 and cols % 16 == 0
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": len(scene.bands),
        "dtype": encoding.dtype,
        "nodata": encoding.nodata,
        "crs": scene.grid.crs,
        "transform": scene.grid.transform,
        "height": scene.grid.height,
        "width": scene.grid.width,
        "bigtiff": "IF_SAFER",
        "interleave": source.interleaving.name.lower() if source.interleaving else "pixel",
        "photometric": "MINISBLACK",
    }
    if tiled:
        profile |= {"tiled": True, "blockysize": rows, "blockxsize": cols}
    elif min(scene.grid.shape) >= 512:
        profile |= {"tiled": True, "blockysize": 512, "blockxsize": 512}
    if compression and compression != "uncompressed":
        lossless = compression if compression in _LOSSLESS else "deflate"
        profile |= {"compress": lossless, "num_threads": "all_cpus"}
    return profile


# --- results ---------------------------------------------------------------------------------------------------


def _after(
    statistics: SceneStatistics, transform: RadiometricTransform, output: Path
) -> SceneStatistics:
    """Return the statistics of the written raster; what curves alone moved need not be read again."""
    if transform.mixing is None:
        return _moved(statistics, transform)
    return compute_statistics(Scene.open(output), cache=False, reporter=Reporter())


def _moved(statistics: SceneStatistics, transform: RadiometricTransform) -> SceneStatistics:
    """Return the statistics that the moved scene has; exact, as each counted value moves to one other."""
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
