"""Folders of images and masks: pairs of image and mask, and their grids.

Published data sets are folders of images, often without georeference. `find_pairs` pairs images and masks by name and
assigns a grid to every pair: that of the image, or a new one that overlaps no other. `georeference_pairs` writes the
pairs as GeoTIFFs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from xml.etree import ElementTree as ET

import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS

from geopointseg.errors import InputFileError, RasterError, nearest_names
from geopointseg.lab.color_palette import Palette
from geopointseg.lab.dense_mask import DenseMask, read_dense_mask
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import write_class_map
from geopointseg.raster.crs import exact_wkt, keep_crs
from geopointseg.raster.grid import Grid
from geopointseg.raster.publishing import whole_file
from geopointseg.raster.raster_access import describe_as_virtual, open_dataset, open_unplaced

ASSIGNED_EPSG = 32631
"""CRS of assigned grids; their position is arbitrary, their pixel size is not."""

_RASTERS = (".tif", ".tiff", ".gtif", ".png", ".jpg", ".jpeg", ".jp2", ".bmp")
_SUFFIXES = re.compile(
    r"[_-](sat|rgb|rgbir|irrg|image|img|naip-new|m|mask|masks|label|labels|gt|lc|noboundary)$",
    re.IGNORECASE,
)
_GAP_PX = 100


@dataclass(frozen=True)
class DatasetLayout:
    """File patterns of a published data set.

    Parameters
    ----------
    images, masks
        Patterns of the image and mask files below the root; the first pattern that finds files is used.
    palette
        Name of the palette of its masks.
    resolution_m
        Side of a pixel in metres, for images without georeference.
    """

    images: tuple[str, ...]
    masks: tuple[str, ...]
    palette: str
    resolution_m: float


DATASETS: Mapping[str, DatasetLayout] = MappingProxyType(
    {
        "deepglobe": DatasetLayout(("**/*_sat.jpg",), ("**/*_mask.png",), "deepglobe", 0.5),
        "loveda": DatasetLayout(("**/images_png/*.png",), ("**/masks_png/*.png",), "loveda", 0.3),
        "potsdam": DatasetLayout(
            ("**/top_potsdam_*_RGBIR.tif", "**/top_potsdam_*_RGB.tif", "**/top_potsdam_*_IRRG.tif"),
            ("**/top_potsdam_*_label.tif",),
            "isprs",
            0.05,
        ),
        "vaihingen": DatasetLayout(
            ("**/top/top_mosaic_*.tif",),
            ("top_mosaic_*.tif", "**/gts*/top_mosaic_*.tif"),
            "isprs",
            0.09,
        ),
        "landcoverai": DatasetLayout(
            ("output/*.jpg", "images/*.tif"), ("output/*_m.png", "masks/*.tif"), "landcoverai", 0.5
        ),
        "chesapeake": DatasetLayout(("**/*_naip-new.tif",), ("**/*_lc.tif",), "chesapeake", 1.0),
    }
)
"""Data sets by name, in the folder structure of torchgeo."""


@dataclass(frozen=True)
class MaskPair:
    """An image, its mask, and their grid.

    Parameters
    ----------
    name
        Their common name.
    image, mask
        The two files.
    grid
        Grid of the pixels.
    palette
        Classes of the colours or codes of the mask; None for an index raster without palette.
    """

    name: str
    image: Path
    mask: Path
    grid: Grid
    palette: Palette | str | None = None

    def read_mask(self, reporter: Reporter | None = None) -> DenseMask:
        """Read the mask on the grid of the image."""
        return read_dense_mask(
            self.mask, palette=self.palette, grid=self.grid, name=self.image.name, reporter=reporter
        )


def find_pairs(
    root: str | Path,
    *,
    dataset: str | None = None,
    images: str = "images/*",
    masks: str = "masks/*",
    split: str | None = None,
    split_file: str | Path | None = None,
    palette: Palette | str | None = None,
    resolution_m: float | None = None,
    crs: CRS | None = None,
) -> list[MaskPair]:
    """Find images and their masks in a folder.

    Parameters
    ----------
    root
        The folder.
    dataset
        Name of a data set in `DATASETS`, which sets patterns, palette and resolution.
    images, masks
        Patterns below the root, for other data. A mask belongs to the image of the same name, apart from endings
        like ``_sat``, ``_mask``, ``_label``.
    split
        Part of the data set: a folder in the path (``train``, ``Train``, ``training_data``), or a file ``train.txt``
        in the root.
    split_file
        Text file with the name of one image per line, instead.
    palette
        Classes of the colours or codes of the masks.
    resolution_m
        Side of a pixel in metres where images have no georeference.
    crs
        CRS to assign to such images; UTM zone 31 N by default.

    Returns
    -------
    list of MaskPair
        In the order of their names.

    Raises
    ------
    InputFileError
        If the folder is missing, nothing is found, or an image has no mask.
    RasterError
        If a mask has another size than its image.
    """
    root = Path(root)
    layout = _layout(dataset, images, masks)
    found_images, found_masks = _find(root, layout.images), _find(root, layout.masks)
    if split is not None and split_file is None and (root / f"{split}.txt").is_file():
        split_file = root / f"{split}.txt"
    if split_file is not None:
        found_images = _listed(found_images, Path(split_file))
    elif split is not None:
        found_images, found_masks = (_in_split(f, root, split) for f in (found_images, found_masks))
    files = _match(root, found_images, [m for m in found_masks if m not in set(found_images)])
    palette = palette or layout.palette or None
    grids = _assign_grids(
        [image for image, _ in files],
        crs or CRS.from_epsg(ASSIGNED_EPSG),
        resolution_m or layout.resolution_m,
    )
    pairs = [
        MaskPair(name, image, mask, grid, palette)
        for name, (image, mask), grid in zip(_names(root, files), files, grids, strict=True)
    ]
    for pair in pairs:
        _require_same_size(pair)
    return pairs


def pair_files(
    images: Sequence[Path],
    masks: Sequence[Path],
    *,
    palette: Palette | str | None = None,
    resolution_m: float = 1.0,
    crs: CRS | None = None,
) -> list[MaskPair]:
    """Pair images and masks that are listed in the same order.

    Parameters
    ----------
    images, masks
        The files. The name of a pair is a number and the name of its image.
    palette, resolution_m, crs
        As for `find_pairs`.

    Returns
    -------
    list of MaskPair
        In the given order.

    Raises
    ------
    RasterError
        If a mask has another size than its image.
    """
    grids = _assign_grids(list(images), crs or CRS.from_epsg(ASSIGNED_EPSG), resolution_m)
    pairs = [
        MaskPair(f"{number}_{_key(image)}", image, mask, grid, palette)
        for number, (image, mask, grid) in enumerate(zip(images, masks, grids, strict=True))
    ]
    for pair in pairs:
        _require_same_size(pair)
    return pairs


def has_crs(image: Path) -> bool:
    """Whether an image has a CRS."""
    with open_unplaced(image) as dataset:
        return dataset.crs is not None


def georeference_pairs(
    pairs: Iterable[MaskPair], folder: str | Path, *, reporter: Reporter | None = None
) -> list[MaskPair]:
    """Write images and masks as georeferenced GeoTIFFs.

    Images keep their values; masks become class rasters with names and colours.

    Parameters
    ----------
    pairs
        Images and masks with their grids.
    folder
        Output folder, for ``NAME.tif`` and ``NAME_mask.tif``.
    reporter
        Receives progress.

    Returns
    -------
    list of MaskPair
        The pairs of the written files.

    Raises
    ------
    OutputError
        If the folder cannot be written to.
    """
    reporter = reporter or Reporter()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = list(pairs)
    written = []
    with reporter.stage("georeference", total=len(pairs)) as advance:
        for pair in pairs:
            image, mask = folder / f"{pair.name}.tif", folder / f"{pair.name}_mask.tif"
            dense = pair.read_mask(reporter)
            _copy_image(pair, image)
            write_class_map(mask, dense.class_index, pair.grid, dense.legend, cog=False)
            written.append(MaskPair(pair.name, image, mask, pair.grid))
            advance(1)
    return written


def _layout(dataset: str | None, images: str, masks: str) -> DatasetLayout:
    if dataset is None:
        return DatasetLayout((images,), (masks,), "", 1.0)
    if dataset not in DATASETS:
        raise InputFileError(
            f"There is no data set '{dataset}' among the known ones. {nearest_names(dataset, DATASETS)} "
            "Or name the patterns of images and masks."
        )
    return DATASETS[dataset]


def _find(root: Path, patterns: Sequence[str]) -> list[Path]:
    if not root.is_dir():
        raise InputFileError(f"The folder '{root}' does not exist. Check the path.")
    for pattern in patterns:
        found = sorted(p for p in root.glob(pattern) if p.suffix.lower() in _RASTERS)
        if found:
            return found
    raise InputFileError(
        f"There are no pictures like {' or '.join(patterns)} in '{root}'. Expected images and masks there; check the "
        "folder, or name the patterns."
    )


def _listed(images: list[Path], split_file: Path) -> list[Path]:
    if not split_file.is_file():
        raise InputFileError(f"The split file '{split_file}' does not exist. Check the path.")
    names = [line.split(",")[0].strip() for line in split_file.read_text().splitlines()]
    wanted = {_key(Path(name)) for name in names if name}
    missing = sorted(wanted - {_key(image) for image in images})
    if missing:
        raise InputFileError(
            f"The split file '{split_file}' names {len(missing)} images that are not there, for example '{missing[0]}'. "
            "Expected names of images in the folder; check that both belong together."
        )
    return [image for image in images if _key(image) in wanted]


def _in_split(files: list[Path], root: Path, split: str) -> list[Path]:
    names = {split.lower(), f"{split.lower()}ing_data", f"{split.lower()}_data"}
    return [
        file
        for file in files
        if names & {part.lower() for part in file.relative_to(root).parent.parts}
    ]


def _key(path: Path) -> str:
    """Return the name that an image shares with its mask."""
    stem = path.stem if path.suffix.lower() in _RASTERS else path.name
    while _SUFFIXES.search(stem):
        stem = _SUFFIXES.sub("", stem)
    return stem


def _match(root: Path, images: list[Path], masks: list[Path]) -> list[tuple[Path, Path]]:
    by_key: dict[str, list[Path]] = {}
    for mask in masks:
        by_key.setdefault(_key(mask), []).append(mask)
    lacking = [image for image in images if _key(image) not in by_key]
    if lacking or not images:
        example = f", for example '{lacking[0].relative_to(root)}'" if lacking else ""
        raise InputFileError(
            f"{len(lacking)} of {len(images)} images in '{root}' have no mask{example}. Expected a mask of the same "
            "name for each; add the masks, or choose the images with a split file."
        )
    return [(image, _nearest_path(image, by_key[_key(image)])) for image in images]


def _names(root: Path, files: list[tuple[Path, Path]]) -> list[str]:
    """Return the common names of images and masks, with their folders where names occur twice."""
    names = [_key(image) for image, _ in files]
    if len(set(names)) == len(names):
        return names
    return [
        "_".join([*image.relative_to(root).parent.parts, name])
        for name, (image, _) in zip(names, files, strict=True)
    ]


def _nearest_path(image: Path, masks: list[Path]) -> Path:
    """Return the mask that shares the longest path with its image."""

    def shared(mask: Path) -> int:
        pairs = zip(image.parts, mask.parts, strict=False)
        return next((n for n, (a, b) in enumerate(pairs) if a != b), len(image.parts))

    return max(masks, key=shared)


def _assign_grids(images: list[Path], crs: CRS, resolution_m: float) -> Iterator[Grid]:
    left = 500_000.0
    for image in images:
        with open_unplaced(image) as dataset:
            placed, transform = dataset.crs, dataset.transform
            height, width = dataset.height, dataset.width
        if placed is None:
            transform = Affine(resolution_m, 0, left, 0, -resolution_m, 5_000_000)
            left += (width + _GAP_PX) * resolution_m
        yield Grid(placed or crs, transform, height, width)


def _require_same_size(pair: MaskPair) -> None:
    with open_unplaced(pair.mask) as dataset:
        width, height = dataset.width, dataset.height
    if (height, width) != pair.grid.shape:
        raise RasterError(
            f"The mask '{pair.mask}' has {width} x {height} pixels, its image '{pair.image.name}' "
            f"{pair.grid.width} x {pair.grid.height}. Expected the same size; check that they belong together and that "
            "neither was resampled."
        )


def _copy_image(pair: MaskPair, path: Path) -> None:
    """Copy an image with its masks, colours and data type onto its grid."""
    grid = pair.grid
    with open_unplaced(pair.image) as source:
        root = describe_as_virtual(source)
    for tag in ("SRS", "GeoTransform", "GCPList"):
        for element in root.findall(tag):
            root.remove(element)
    ET.SubElement(root, "SRS").text = exact_wkt(grid.crs)
    numbers = (repr(float(v)) for v in grid.transform.to_gdal())
    ET.SubElement(root, "GeoTransform").text = ", ".join(numbers)
    options = {
        "tiled": "yes",
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
        "bigtiff": "if_safer",
    }
    with whole_file(path) as temporary, rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with open_dataset(ET.tostring(root, encoding="unicode")) as placed:
            rasterio.shutil.copy(placed, temporary, driver="GTiff", **options)
        keep_crs(temporary, grid.crs)
