"""One prediction: models, imagery and options, and the ensemble, windows and files that follow from them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from geopointseg import __version__
from geopointseg.bands.companion import attach_companion, reading_of_imagery
from geopointseg.bands.opening import open_scenes
from geopointseg.config import PredictionConfig, SceneConfig
from geopointseg.errors import ConfigError, RasterError
from geopointseg.model.bundle import ModelBundle
from geopointseg.model.ensemble import combine_models, union_bands
from geopointseg.model.inference import Ensemble
from geopointseg.prediction.backend import accelerate
from geopointseg.prediction.mosaic import AreaOfInterest, Mosaic
from geopointseg.prediction.product import Products
from geopointseg.prediction.tile_pipeline import Plan
from geopointseg.prediction.tiling import SUMS_BYTES, Lattice, lay_lattice
from geopointseg.progress import Reporter
from geopointseg.radiometry.picture_style import PictureStyle
from geopointseg.raster.class_map import ATTRIBUTION_TAG
from geopointseg.raster.cog import TILE_PX
from geopointseg.raster.companion_scene import CompanionScene
from geopointseg.raster.decoding import Embedding
from geopointseg.raster.scene import Scene
from geopointseg.source_policy import require_local_name
from geopointseg.summary import described

MIN_PIXELS_TO_PREPARE = 64 * 512**2
"""Below this number of pixels in windows, the preparation of an accelerated network takes longer than it saves."""

WINDOW_PX = 512
"""Side of an inference window in pixels, for models whose context is at most a quarter of it; the overlap is then at most
128 pixels, and the part of the context beyond it is missing at the rims, where windows are blended."""
WIDE_WINDOW_PX = 1664
"""Side for models that need more context; windows of as many pixels may be longer than wide, see `fit_window`."""
WIDE_OVERLAP_PX = 576
"""Largest overlap of these windows in pixels."""
WINDOW_BYTES = 2**24
"""Largest size of the values of a window of models that look at single pixels: 64 bands of 256 x 256 pixels."""

ROW_BYTES = 2**25
"""Approximate size of the values of a row of windows of a tile, which are read at once."""

SMALLEST_WINDOW_PX = 64

MANY_BANDS = 32
"""Above this number of bands, tiles are smaller even if their windows overlap."""

MANY_CLASSES = 64
"""Above this number of values per pixel, windows have fewer pixels, so that as many probabilities are in memory."""
MANY_CLASSES_SUMS_BYTES = 4 * SUMS_BYTES
"""Memory of the sums of a tile above this number of classes: tiles of few pixels consist of seams, which are stored twice or more."""
MANY_CLASSES_BATCH = 4
"""Largest number of windows in one forward pass above this number of classes."""
LARGEST_PRODUCT_BYTES = 2**31
"""Largest size of the probabilities of an output tile in bytes."""

RESOLUTION_TOLERANCE = 1.25
"""Ratio of pixel sides beyond which a warning reports that the resolution differs from that of the training."""


@described
@dataclass(frozen=True)
class PredictionJob:
    """A prediction, in plain values that can be sent to another machine.

    Parameters
    ----------
    models
        Model folders.
    scenes
        Opened scenes, with the bands of the models.
    settings
        The [prediction] settings.
    probabilities, uncertainty
        Whether these files are written.
    aoi
        Area of interest, in the CRS of the grid.
    min_area_px
        Patches smaller than this are merged into their surroundings.
    cog
        Whether files are cloud-optimized.
    device
        Device of the networks: ``cpu`` or ``cuda``.
    backend
        Backend that runs the networks; see `decide_backend`.
    sums_bytes
        Approximate memory of the sums of a tile, in bytes; it determines the size of the tiles.
    bundles
        The models in memory, if they are loaded.
    """

    models: tuple[str, ...]
    scenes: tuple[Scene, ...]
    settings: PredictionConfig
    probabilities: bool = False
    uncertainty: bool = False
    aoi: AreaOfInterest | None = None
    min_area_px: int = 0
    cog: bool = True
    device: str = "cpu"
    backend: str = "torch"
    sums_bytes: int = SUMS_BYTES
    bundles: tuple[ModelBundle, ...] = field(default=(), repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in vars(self).items() if name in _STATE}
        return kept | {"bundles": ()}

    @cached_property
    def loaded(self) -> tuple[ModelBundle, ...]:
        """The models in memory."""
        return self.bundles or load_models(self.models, self.device)

    @cached_property
    def plain(self) -> Ensemble:
        """The combined models, with networks run by PyTorch without preparation."""
        return self._combine(self.loaded)

    @cached_property
    def ensemble(self) -> Ensemble:
        """The combined models, with networks run by the backend; for few windows without preparation."""
        lattice = self.plan.lattice
        pixels = lattice.window_count * lattice.rows.size * lattice.cols.size
        few = pixels < MIN_PIXELS_TO_PREPARE
        if few and self.backend == "torch":
            return self.plain
        return self._combine([accelerate(bundle, self.backend) for bundle in self.loaded])

    def _combine(self, bundles: Sequence[ModelBundle]) -> Ensemble:
        return combine_models(
            bundles, augmentation=self.settings.tta, disagreement=self.uncertainty
        )

    @cached_property
    def plan(self) -> Plan:
        """Windows, tiles and files."""
        mosaic = Mosaic.of(self.scenes)
        ensemble, settings = self.plain, self.settings
        products = Products(
            self.loaded[0].legend,
            self.probabilities,
            self.uncertainty,
            ensemble.disagreement,
            settings.encoding,
        )
        lattice = lay_windows(
            mosaic.shape, ensemble, settings, channels=products.channels, sums_bytes=self.sums_bytes,
            bands=len(self.scenes[0].bands),
        )  # fmt: skip
        first = self.scenes[0]
        embedding = (
            first.companion.embedding if isinstance(first, CompanionScene) else first.embedding
        )
        tags = {} if embedding is None else {ATTRIBUTION_TAG: embedding.attribution}
        layouts = products.layouts(mosaic.grid, tags, fingerprint=self.fingerprint, cog=self.cog)
        require_bounded_tiles(products, mosaic.shape)
        batch_size = resolve_batch_size(settings, self.device)
        if products.channels > MANY_CLASSES:
            batch_size = min(batch_size, MANY_CLASSES_BATCH)
        return Plan(mosaic, self.aoi, lattice, products, layouts, batch_size, self.min_area_px)

    @property
    def fingerprint(self) -> str:
        """The models' fingerprints, joined by commas."""
        return ",".join(bundle.fingerprint for bundle in self.loaded)

    def identity(self) -> dict[str, Any]:
        """Return everything that the result depends on, as names and JSON values, for the work folder."""
        import torch

        settings = vars(self.settings)
        return {
            "the model": [b.fingerprint for b in self.loaded],
            "the raster": Mosaic.of(self.scenes).fingerprint(),
            "the area of interest": self.aoi.fingerprint() if self.aoi else None,
            **{name: settings[name] for name in sorted(settings)},
            "min_area_px": self.min_area_px,
            "probabilities": self.probabilities,
            "uncertainty": self.uncertainty,
            "cog": self.cog,
            "device": torch.device(self.device).type,
            "sums_bytes": self.sums_bytes,
            "the version of geopointseg": __version__,
            "the version of torch": torch.__version__,
        }


_STATE = frozenset(PredictionJob.__dataclass_fields__)


def load_models(models: Sequence[ModelBundle | str | Path], device: str) -> tuple[ModelBundle, ...]:
    """Return the models; those given by their folders are read from disk."""
    return tuple(m if isinstance(m, ModelBundle) else ModelBundle.load(m, device) for m in models)


def open_imagery(
    sources: Sequence[Any],
    bundles: Sequence[ModelBundle],
    reporter: Reporter,
    companion: str | os.PathLike[str] | None = None,
) -> tuple[Scene, ...]:
    """Open rasters with the bands and the picture style of the models.

    Parameters
    ----------
    sources
        Scenes, or the paths of rasters.
    bundles
        The models.
    reporter
        Gets warnings, for example about another resolution.
    companion
        The embedding beside the imagery, for models that were trained with one; by default the one of the training.

    Returns
    -------
    tuple of Scene
        The opened rasters, in their order.

    Raises
    ------
    RasterError
        If bands are missing, or the models have different picture styles or reading settings.
    InputFileError
        If a model names a companion in the network; see `geopointseg.source_policy`.
    ConfigError
        If a companion is given to models that were trained without one.
    """
    styles = [bundle.metadata.get("style") for bundle in bundles]
    if any(style != styles[0] for style in styles):
        raise RasterError(
            "The models were trained on imagery matched to different picture styles. One map takes one style; "
            "average models that were trained on the same scenes."
        )
    style = PictureStyle.from_json(styles[0]) if styles[0] else None
    settings = _common_settings(bundles)
    beside = _common_companion(bundles)
    if companion and not beside:
        raise ConfigError(
            f"The companion '{os.fspath(companion)}' was given, and the model was trained without one. Expected a model that was "
            "trained with [scene] companion; leave the companion out."
        )
    further = list(beside["bands"]) if beside else []
    scenes = open_scenes(
        [_absolute(s) for s in sources],
        bands=[band for band in union_bands(bundles) if band not in further],
        style=style,
        trained_on=_common_embedding(bundles),
        reporter=reporter,
        **reading_of_imagery(settings),  # type: ignore[arg-type]
    )
    if beside:
        if not companion:
            require_local_name(str(bundles[0].folder), settings.companion)
        scenes = attach_companion(
            scenes, companion or settings.companion, settings, reporter, bands=further,
            trained_on=Embedding.from_json(beside),
        )  # fmt: skip
    _warn_of_scale(scenes[0], bundles, reporter)
    return tuple(scenes)


def _common_embedding(bundles: Sequence[ModelBundle]) -> Embedding | None:
    """Return the embedding that the models were trained on; None for imagery.

    Raises
    ------
    RasterError
        If they were trained on several products or versions, or on an embedding and on imagery.
    """
    rows = [bundle.metadata.get("embedding") for bundle in bundles]
    found = [Embedding.from_json(row) if row else None for row in rows]
    keys = [(one.product, one.version) if one else None for one in found]
    for one, key in zip(found, keys, strict=True):
        if key != keys[0]:
            names = (each.name if each else "imagery" for each in (found[0], one))
            raise RasterError(
                f"The models were trained on {' and on '.join(names)}. One map takes one kind of scene; average models of the same "
                "product and version."
            )
    return found[0]


def _common_companion(bundles: Sequence[ModelBundle]) -> dict[str, Any] | None:
    """Return the description of the embedding beside the imagery of all models; None where there is none."""
    found = [bundle.metadata.get("companion") or None for bundle in bundles]
    if any((one or {}).get("bands") != (found[0] or {}).get("bands") for one in found):
        raise RasterError(
            "The models were trained with different embeddings as [scene] companion, or only one of them with one. One map takes one "
            "companion; average models that were trained with the same."
        )
    return dict(found[0]) if found[0] else None


def _common_settings(bundles: Sequence[ModelBundle]) -> SceneConfig:
    """Return the settings with which the training of the models read its scenes."""
    settings = [bundle.config.scene for bundle in bundles]
    for name in ("nodata", "dates", "stack", "decode"):
        found = list(dict.fromkeys(str(getattr(one, name)) for one in settings))
        if len(found) > 1:
            raise RasterError(
                f"The models were trained with [scene] {name} = '{found[0]}' and '{found[1]}'. One map reads its "
                "imagery in one way; average models that were trained with the same setting."
            )
    return settings[0]


def _absolute(source: Any) -> Any:
    """Return a local path as an absolute path, which is valid in every process."""
    is_local = not isinstance(source, Scene) and os.path.exists(source)  # noqa: PTH110 - Path fails on XML text
    return Path(source).absolute() if is_local else source


def _warn_of_scale(scene: Scene, bundles: Sequence[ModelBundle], reporter: Reporter) -> None:
    here = scene.grid.resolution_m
    for bundle in bundles:
        ratio = here / bundle.resolution_m if bundle.resolution_m > 0 else 1.0
        if not 1 / RESOLUTION_TOLERANCE <= ratio <= RESOLUTION_TOLERANCE:
            reporter.warn(
                f"The pixels of '{scene.name}' are {here:.3g} m wide, those of the training "
                f"{bundle.resolution_m:.3g} m. Objects have another size in pixels than in the training; resample the "
                "raster or train on this one."
            )


def lay_windows(
    shape: tuple[int, int],
    ensemble: Ensemble,
    settings: PredictionConfig,
    *,
    channels: int,
    sums_bytes: int,
    bands: int = 1,
) -> Lattice:
    """Cover a raster with windows, with the stride and the context of the models.

    Where the models look at single pixels of many bands, or have more than `MANY_CLASSES` classes, windows and tiles are smaller,
    so that as many values are in memory. The overlap is then at most half a window.

    Parameters
    ----------
    shape
        Rows and columns of the raster.
    ensemble
        The models.
    settings
        Window, overlap and blending.
    channels, sums_bytes
        As in `lay_lattice`.
    bands
        Number of bands of the imagery.

    Returns
    -------
    Lattice
        Windows and tiles.
    """
    is_default = not settings.window_px
    settings = replace(settings, window_px=resolve_window(settings, ensemble.margin_px))
    overlap = resolve_overlap(settings, ensemble.margin_px)
    window_px = settings.window_px
    if overlap == 0:
        while 4 * bands * window_px**2 > WINDOW_BYTES and window_px >= 2 * SMALLEST_WINDOW_PX:
            window_px //= 2
    if channels > MANY_CLASSES:
        usual = min(window_px, resolve_window(PredictionConfig(), ensemble.margin_px))
        window_px = max(int(usual * math.sqrt(MANY_CLASSES / channels)), SMALLEST_WINDOW_PX)
        overlap = min(overlap, window_px // 2)
        sums_bytes = max(sums_bytes, MANY_CLASSES_SUMS_BYTES)
    if overlap == 0 or bands > MANY_BANDS:
        side = max(ROW_BYTES // (4 * bands * window_px), 1)
        sums_bytes = min(sums_bytes, 4 * channels * side**2)
    return lay_lattice(
        shape,
        window_px=window_px,
        overlap_px=overlap,
        stride=ensemble.stride,
        channels=channels,
        blend=settings.blend,
        margin_px=trusted_margin(ensemble.margin_px, overlap),
        sums_bytes=sums_bytes,
        fit=is_default and window_px == WIDE_WINDOW_PX,
    )


def require_bounded_tiles(products: Products, shape: tuple[int, int]) -> None:
    """Raise `ConfigError` if the probabilities of one tile of the output exceed the memory that is meant for them."""
    pixels = math.prod(min(side, TILE_PX) for side in shape)
    needed = pixels * len(products.legend) * (1 if products.encoding == "uint8" else 4)
    if products.probabilities and needed > LARGEST_PRODUCT_BYTES:
        raise ConfigError(
            f"The probabilities of {len(products.legend)} classes as {products.encoding} take {needed / 1e9:.1f} GB of memory. Expected at "
            f"most {LARGEST_PRODUCT_BYTES / 1e9:.1f} GB; leave out `probabilities=`, or store them in 8 bits."
        )


def resolve_window(settings: PredictionConfig, margin_px: int) -> int:
    """Return the side of an inference window in pixels.

    With a wide margin, large windows compute fewer pixels twice: windows of 1664 pixels that overlap by twice 288 pixels
    compute 2.3 times the pixels of the raster, and windows of 1280 pixels 3.3 times.

    Parameters
    ----------
    settings
        With ``window_px``; 0 for the default.
    margin_px
        Context that the model needs on every side.
    """
    if settings.window_px:
        return settings.window_px
    return WINDOW_PX if margin_px <= WINDOW_PX // 4 else WIDE_WINDOW_PX


def resolve_overlap(settings: PredictionConfig, margin_px: int) -> int:
    """Return the overlap of neighbouring windows in pixels.

    The default is twice the context that the model needs, but at most a quarter of the window, and 576 pixels with windows of 1664. The theoretical receptive
    field of a deep network is much wider than the pixels that influence its output.

    Parameters
    ----------
    settings
        With ``overlap_px`` (negative for the default) and ``window_px``.
    margin_px
        Context that the model needs on every side.

    Returns
    -------
    int
        Pixels.

    Raises
    ------
    ConfigError
        If it is more than half a window.
    """
    if settings.overlap_px < 0:
        most = WIDE_OVERLAP_PX if settings.window_px == WIDE_WINDOW_PX else settings.window_px // 4
        return min(2 * margin_px, most)
    if settings.overlap_px > settings.window_px // 2:
        raise ConfigError(
            f"The overlap is {settings.overlap_px} pixels and the window {settings.window_px}. Windows may share at "
            "most half their side; choose a smaller overlap or larger windows."
        )
    return settings.overlap_px


def resolve_batch_size(settings: PredictionConfig, device: str) -> int:
    """Return the number of windows in one forward pass; the default is 1 on a CPU and 4 on a GPU.

    On a CPU, the feature maps of several windows are so large that the allocator returns their memory to the system after
    every layer. The system clears each page when it is allocated again. With windows of 512 pixels, this reduces the speed
    of a U-Net by a third. GPU memory is cached.
    """
    return settings.batch_size or (1 if device == "cpu" else 4)


def trusted_margin(margin_px: int, overlap_px: int) -> int:
    """Return the width of the rim of a window, in pixels, in which the neighbouring window is used.

    If the overlap is at least twice the context of the model, the rim is that context. The map is then equal to the one of
    a single large window, except for networks with group normalization, whose probabilities depend on the window. Otherwise
    the rim is a quarter of the overlap.
    """
    return margin_px if 2 * margin_px <= overlap_px else overlap_px // 4


def check_area(area: AreaOfInterest, mosaic: Mosaic) -> None:
    """Raise `RasterError` if an area of interest does not touch the imagery."""
    west, south, east, north = area.bounds
    bounds = mosaic.grid.bounds
    if west > bounds[2] or east < bounds[0] or south > bounds[3] or north < bounds[1]:
        raise RasterError(
            f"The area of interest '{area.source}' ({_box(area.bounds)}) does not touch the imagery "
            f"({_box(bounds)}). Expected polygons on the imagery; check both coordinate reference systems."
        )


def _box(bounds: Sequence[float]) -> str:
    digits = 3 if max(map(math.fabs, bounds)) < 1000 else 0
    west, south, east, north = (f"{value:.{digits}f}" for value in bounds)
    return f"x {west} to {east}, y {south} to {north}"
