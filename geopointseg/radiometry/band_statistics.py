"""Distributions of the values of scenes: one pass, bounded memory, nodata left out.

Every scene is read once. Kept are the distribution of each band (`BandStatistics`) and a sample of whole pixels, for
the dependence between bands.
"""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.progress import Reporter
from geopointseg.radiometry.distribution import (
    BandStatistics,
    Counter,
    count_planes,
    make_counter,
    merge_bands,
)
from geopointseg.raster.curve import has_table
from geopointseg.raster.prefetch import map_ahead
from geopointseg.raster.publishing import whole_file
from geopointseg.raster.scene import Scene
from geopointseg.summary import described

Weighting = Literal["pixel", "area"]

_SAMPLE_NUMBERS = 1 << 16
"""Numbers in the stored sample of whole pixels: spectra times bands."""
_LARGEST_SAMPLE = 4096
_CACHE_VERSION = 1


@described
@dataclass(frozen=True, eq=False)
class SceneStatistics:
    """Distributions of all bands of one scene, or of several together.

    Parameters
    ----------
    bands
        One for each band.
    sample
        Randomly drawn pixels, float32 ``(pixel, band)``, for the dependence between bands.
    dtype
        Data type in which the values fit unchanged; ``float32`` where they are scaled or of several types.
    source
        What the statistics are of, for messages.

    Examples
    --------
    >>> statistics = statistics_of_array(np.arange(8, dtype=np.uint8).reshape(1, 2, 4))
    >>> statistics.bands[0].mean, statistics.bands[0].quantile([0.0, 0.5])
    (3.5, array([0. , 3.5]))
    """

    bands: tuple[BandStatistics, ...]
    sample: NDArray[np.float32]
    dtype: str = "float32"
    source: str = ""

    @property
    def names(self) -> list[str]:
        """Names of the bands."""
        return [band.name for band in self.bands]

    @property
    def count(self) -> float:
        """The number of pixels with an image, or their weight."""
        return self.bands[0].count if self.bands else 0.0

    def require_pixels(self) -> None:
        """Raise `RasterError` where every pixel is nodata."""
        if self.count == 0:
            raise RasterError(
                f"{self.source or 'The scene'} holds no image: every pixel is nodata. Expected some pixels with "
                "values; check the nodata value that the file declares."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the statistics as plain numbers, each band compacted to about a thousand values."""
        return {
            "bands": [band.to_json() for band in self.bands],
            "sample": [
                [float(f"{v:.6g}") for v in row] for row in self.sample[: _LARGEST_SAMPLE // 4]
            ],
            "dtype": self.dtype,
            "source": self.source,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SceneStatistics:
        """Read what `to_json` returned."""
        bands = tuple(BandStatistics.from_json(band) for band in data["bands"])
        sample = np.array(data["sample"], dtype=np.float32).reshape(-1, len(bands))
        return cls(bands, sample, str(data["dtype"]), str(data["source"]))


def compute_statistics(
    scenes: Scene | Sequence[Scene],
    *,
    weighting: Weighting = "pixel",
    cache: bool = True,
    reporter: Reporter | None = None,
) -> SceneStatistics:
    """Compute the distribution of every band over one or more scenes.

    Each scene is read once, window by window. Its result is kept in the user's cache folder under a fingerprint of its
    files, and reused.

    Parameters
    ----------
    scenes
        Scenes with the same bands in the same order.
    weighting
        ``pixel`` gives every pixel the same weight; ``area`` weights it by its area, so that a scene of fine pixels
        does not outweigh a coarse one of the same size.
    cache
        Whether to use and fill the cache.
    reporter
        Gets the progress, and warnings about values that may be undeclared nodata.

    Returns
    -------
    SceneStatistics
        Of all scenes together.

    Raises
    ------
    RasterError
        If the scenes have different numbers of bands, or no pixel of any holds an image.
    """
    reporter = reporter or Reporter()
    scenes = [scenes] if isinstance(scenes, Scene) else list(scenes)
    _require_same_bands(scenes)
    parts = []
    total = sum(scene.grid.height * scene.grid.width for scene in scenes)
    with reporter.stage("statistics", total) as advance:
        for scene in scenes:
            part = _cached(scene) if cache else None
            if part is None:
                part = _scan(scene, advance)
                if cache:
                    _save_statistics(scene, part)
            else:
                advance(scene.grid.height * scene.grid.width)
            parts.append(part)
    for part in parts:
        for suspect in find_undeclared_nodata(part):
            reporter.warn(suspect.message(part.source))
    areas = np.array([s.grid.resolution_m**2 if weighting == "area" else 1.0 for s in scenes])
    merged = merge_statistics(parts, list(areas / areas.min()))
    merged.require_pixels()
    return merged


def merge_statistics(
    parts: Sequence[SceneStatistics], weights: Sequence[float] | None = None
) -> SceneStatistics:
    """Merge the statistics of several scenes into those of all their pixels.

    Parameters
    ----------
    parts
        Statistics of scenes with the same bands.
    weights
        Weight of a pixel of each; 1 by default.
    """
    weights = [1.0] * len(parts) if weights is None else weights
    if len(parts) == 1 and weights[0] == 1.0:
        return parts[0]
    bands = tuple(
        merge_bands([p.bands[k].weighted(w) for p, w in zip(parts, weights, strict=True)])
        for k in range(len(parts[0].bands))
    )
    dtypes = {part.dtype for part in parts}
    shares = np.array([p.count * w for p, w in zip(parts, weights, strict=True)])
    return SceneStatistics(
        bands,
        _merge_samples([p.sample for p in parts], shares),
        dtypes.pop() if len(dtypes) == 1 else "float32",
        f"{parts[0].source} and {len(parts) - 1} more" if len(parts) > 1 else parts[0].source,
    )


def statistics_of_array(
    image: NDArray[Any],
    valid: NDArray[np.bool_] | None = None,
    *,
    names: Sequence[str] = (),
    source: str = "",
) -> SceneStatistics:
    """Compute the distribution of every band of an array.

    Parameters
    ----------
    image
        ``(band, ...)`` of any real type.
    valid
        bool of the remaining shape; all valid by default.
    names
        Names of the bands; ``band_1`` ... by default.
    source
        What messages call the image.

    Returns
    -------
    SceneStatistics
        With a sample of at most 4096 pixels.
    """
    planes = image.reshape(image.shape[0], -1)
    if valid is not None:
        planes = planes[:, valid.ravel()]
    names = list(names) or [f"band_{k + 1}" for k in range(len(planes))]
    counted = zip(count_planes(planes), names, strict=True)
    bands = tuple(counter.finish(name, 1.0, 0.0) for counter, name in counted)
    drawn = _draw(planes.shape[1], _sample_size(len(planes)), np.random.default_rng(0))
    sample = planes[:, drawn].T.astype(np.float32)
    return SceneStatistics(bands, sample, image.dtype.name, source)


# --- undeclared nodata -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UndeclaredNodata:
    """A value that is probably nodata and is not declared as such.

    Parameters
    ----------
    band
        Name of the band.
    value
        The value.
    share
        Share of the band's pixels that have it, 0..1.
    """

    band: str
    value: float
    share: float

    def message(self, source: str) -> str:
        """Return the sentence for the user."""
        return (
            f"{source or 'The scene'}: {self.share:.1%} of band '{self.band}' have the value {self.value:g}, far from "
            "all others. It looks like nodata that the file does not declare. It is left out of matching; declare "
            f"it (gdal_edit -a_nodata {self.value:g}) if these pixels hold no image."
        )


def find_undeclared_nodata(statistics: SceneStatistics) -> list[UndeclaredNodata]:
    """Find values at one end of a histogram that are probably nodata.

    These are single values with at least 0.1 % of the pixels whose distance to the next value is more than half the
    range of all others, and zeros or limits of the data type that a quarter of all pixels have in all bands at once.

    Returns
    -------
    list of UndeclaredNodata
        At most one per band and end of its histogram.
    """
    found = []
    for band in statistics.bands:
        for end in (0, -1):
            if band.values.size < 3:
                continue
            value, share = float(band.values[end]), float(band.counts[end] / band.count)
            if _is_cut_off(band, end) or _fills_all_bands(statistics, value, share):
                found.append(UndeclaredNodata(band.name, value, share))
    return found


def _is_cut_off(band: BandStatistics, end: int) -> bool:
    rest = band.values[1:] if end == 0 else band.values[:-1]
    if rest.size < 16 or band.counts[end] < max(16.0, 1e-3 * band.count):
        return False
    gap = abs(band.values[end] - rest[0 if end == 0 else -1])
    return bool(gap > 0.5 * (rest[-1] - rest[0]))


def _fills_all_bands(statistics: SceneStatistics, value: float, share: float) -> bool:
    if share < 0.25 or len(statistics.bands) < 2 or len(statistics.sample) < 64:
        return False
    limits = {0.0}
    if has_table(statistics.dtype):
        info = np.iinfo(statistics.dtype)
        limits |= {float(info.min), float(info.max)}
    filled = (statistics.sample == np.float32(value)).all(axis=1)
    return value in limits and bool(filled.mean() > 0.9 * share)


# --- reading ---------------------------------------------------------------------------------------------------


def _scan(scene: Scene, advance: Any) -> SceneStatistics:
    """Read a scene once and count; the order of threads changes nothing."""
    plain = scene.is_stored_plainly
    counters = [make_counter(scene.dtype if plain else "float32") for _ in scene.bands]
    samples = []
    windows = list(scene.windows())
    count = partial(_count_window, scene, plain=plain)
    for window, (counted, sample) in zip(
        windows, map_ahead(count, enumerate(windows)), strict=True
    ):
        for counter, part in zip(counters, counted, strict=True):
            counter.merge(part)  # type: ignore[arg-type]
        samples.append(sample)
        advance(window.width * window.height)
    return _finish(scene, counters, np.concatenate(samples), plain=plain)


def _count_window(
    scene: Scene, numbered: tuple[int, Window], *, plain: bool
) -> tuple[list[Counter], NDArray[Any]]:
    """Count one window, and draw its part of the sample."""
    number, window = numbered
    if plain:
        stored, valid = scene.read_stored(window)
        positions = scene.stored_positions
        order = [positions[band.index] for band in scene.bands]
        image = stored if order == list(range(len(stored))) else stored[order]
    else:
        chip = scene.read(window)
        image, valid = chip.image, chip.valid
    planes = image.reshape(len(image), -1)
    if not valid.all():
        planes = planes[:, valid.ravel()]
    generator = np.random.default_rng(number)
    wanted = _sample_size(len(planes)) / (scene.grid.height * scene.grid.width)
    take = _round_randomly(wanted * planes.shape[1], generator)
    return count_planes(planes), planes[:, _draw(planes.shape[1], take, generator)].T


def _finish(
    scene: Scene, counters: Sequence[Counter], sample: NDArray[Any], *, plain: bool
) -> SceneStatistics:
    scales = [(b.scale, b.offset) if plain else (1.0, 0.0) for b in scene.bands]
    bands = tuple(
        counter.finish(name, *scale)
        for counter, name, scale in zip(counters, scene.band_names, scales, strict=True)
    )
    factor, offset = (np.array(v, dtype=np.float32) for v in zip(*scales, strict=True))
    unscaled = plain and all(scale == (1.0, 0.0) for scale in scales)
    spectra = sample.astype(np.float32) * factor + offset
    return SceneStatistics(bands, spectra, scene.dtype if unscaled else "float32", scene.name)


def _sample_size(bands: int) -> int:
    return min(_LARGEST_SAMPLE, max(_SAMPLE_NUMBERS // max(bands, 1), 256))


def _round_randomly(value: float, generator: np.random.Generator) -> int:
    return int(value) + int(generator.random() < value - int(value))


def _draw(count: int, wanted: int, generator: np.random.Generator) -> NDArray[np.int64]:
    if count <= wanted:
        return np.arange(count)
    return np.sort(generator.integers(0, count, wanted))


def _merge_samples(
    samples: Sequence[NDArray[np.float32]], shares: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Draw from each sample by the share of pixels that it stands for."""
    total = shares.sum()
    size = _sample_size(samples[0].shape[1])
    generator = np.random.default_rng(0)
    drawn = []
    for sample, share in zip(samples, shares / total if total else shares, strict=True):
        take = min(_round_randomly(size * share, generator), 8 * len(sample))
        if take and len(sample):
            drawn.append(sample[np.resize(generator.permutation(len(sample)), take)])
    return np.concatenate(drawn) if drawn else samples[0]


def _require_same_bands(scenes: Sequence[Scene]) -> None:
    if not scenes:
        raise RasterError("No scene was given. Expected one at least.")
    for scene in scenes[1:]:
        if len(scene.bands) != len(scenes[0].bands):
            raise RasterError(
                f"'{scene.name}' has {len(scene.bands)} bands and '{scenes[0].name}' {len(scenes[0].bands)}. "
                "Expected the same bands in all scenes; choose common ones by name."
            )


# --- cache -----------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Return the folder for cached results: GEOPOINTSEG_CACHE, or the user's cache folder."""
    chosen = os.environ.get("GEOPOINTSEG_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", str(Path.home()))
    else:
        base = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    return Path(base) / "geopointseg"


def _cache_file(scene: Scene) -> Path | None:
    fingerprint = scene.fingerprint()
    if fingerprint is None:
        return None
    digest = hashlib.sha256(f"{_CACHE_VERSION} {fingerprint}".encode()).hexdigest()
    return cache_folder() / "statistics" / f"{digest[:32]}.npz"


def _cached(scene: Scene) -> SceneStatistics | None:
    file = _cache_file(scene)
    if file is None or not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as data:
            return _from_arrays(data, scene)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None  # damaged


def _save_statistics(scene: Scene, statistics: SceneStatistics) -> None:
    file = _cache_file(scene)
    if file is None:
        return
    arrays: dict[str, Any] = {"sample": statistics.sample, "dtype": np.array(statistics.dtype)}
    for k, band in enumerate(statistics.bands):
        arrays |= {f"n{k}": np.array(band.moments), f"v{k}": band.values, f"c{k}": band.counts}
    with suppress(OSError):  # the cache is optional
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as temporary:
            np.savez_compressed(temporary, **arrays)


def _from_arrays(data: Mapping[str, NDArray[Any]], scene: Scene) -> SceneStatistics:
    bands = tuple(
        BandStatistics.from_numbers(name, data[f"n{k}"].tolist(), data[f"v{k}"], data[f"c{k}"])
        for k, name in enumerate(scene.band_names)
    )
    return SceneStatistics(bands, data["sample"], str(data["dtype"]), scene.name)
