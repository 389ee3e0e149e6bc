"""The data of a study: images with dense masks to train on, and others to test on."""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geopointseg.errors import ConfigError, InputFileError, nearest_names
from geopointseg.lab.image_folder import (
    DATASETS,
    MaskPair,
    find_pairs,
    georeference_pairs,
    has_crs,
    pair_files,
)
from geopointseg.progress import Reporter
from geopointseg.raster.raster_access import fingerprint_files
from geopointseg.setting import require_number

PARTS = ("all", "top", "bottom", "left", "right", "centre")
"""Parts of an image for training or testing."""


@dataclass(frozen=True)
class StudyData:
    """One set of images with dense masks: some to train on, others to test on.

    Parameters
    ----------
    name
        Name in tables.
    images, masks
        Training images and their dense masks, in the same order.
    test_images, test_masks
        The same for testing.
    palette
        Colours of colour-coded masks: a file or a built-in name; empty for index masks.
    part, test_part
        Part of each image: all, a half (top, bottom, left, right), or at most 768 x 768 pixels in the centre.
    resolution_m
        Side of a pixel in metres where images have no georeference; 0 takes 1 m.
    """

    name: str
    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    test_images: tuple[Path, ...]
    test_masks: tuple[Path, ...]
    palette: str = ""
    part: str = "all"
    test_part: str = "all"
    resolution_m: float = 0.0

    def fingerprint(self) -> str:
        """Return a hash of the files, the palette, the parts and the pixel size.

        It covers names, sizes and times of the files, not their contents.
        """
        files = (self.images, self.masks, self.test_images, self.test_masks)
        palette = Path(self.palette)
        facts = (
            [[_describe_file(path) for path in paths] for paths in files],
            _describe_file(palette) if palette.is_file() else self.palette,
            (self.part, self.test_part, self.resolution_m),
        )
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


def _describe_file(path: Path) -> tuple[Any, ...]:
    """Return path, size and time of a file, and of the sources of a virtual raster."""
    facts = path.stat()
    behind = fingerprint_files(str(path)) if path.suffix.lower() == ".vrt" else None
    return str(path.resolve()), facts.st_size, facts.st_mtime_ns, behind


_Files = tuple[tuple[Path, ...], tuple[Path, ...], tuple[Path, ...], tuple[Path, ...]]
_KEYS = {
    "images", "masks", "test_images", "test_masks", "palette", "part", "test_part", "folder", "dataset", "split",
    "split_file", "test_split", "test_split_file", "resolution_m",
}  # fmt: skip


def parse_data(name: str, row: Mapping[str, Any], root: Path) -> StudyData:
    """Build a data set from its section of a study file.

    Parameters
    ----------
    name
        Name in tables.
    row
        The section: lists of files, or a ``folder`` with a known ``dataset`` or patterns and the names of its splits.
    root
        Folder that paths are relative to.

    Returns
    -------
    StudyData
        The data set.

    Raises
    ------
    ConfigError
        If a key is unknown or missing, or the lists differ in length.
    InputFileError
        If a file is missing.
    """
    for key in row:
        if key not in _KEYS:
            raise ConfigError(
                f"The study's data '{name}' has an unknown key '{key}'. {nearest_names(key, _KEYS)}"
            )
    _check_kinds(name, row)
    part, test_part = (str(row.get(key, "all")) for key in ("part", "test_part"))
    for key, value in (("part", part), ("test_part", test_part)):
        if value not in PARTS:
            raise ConfigError(
                f"The study's data '{name}' has the {key} '{value}'. {nearest_names(value, PARTS)}"
            )
    files = _find_files(name, row, root) if "folder" in row else _listed_files(name, row, root)
    palette, resolution_m = str(row.get("palette", "")), float(row.get("resolution_m", 0.0))
    if "folder" in row and "dataset" in row:
        known = DATASETS[str(row["dataset"])]
        palette, resolution_m = palette or known.palette, resolution_m or known.resolution_m
    return StudyData(name, *files, palette, part, test_part, resolution_m)


_LISTS = ("images", "masks", "test_images", "test_masks")


def _check_kinds(name: str, row: Mapping[str, Any]) -> None:
    """Raise `ConfigError` unless each value of a data set is of the kind of its key."""
    for key, value in row.items():
        if key == "resolution_m":
            require_number(f"The resolution_m of the study's data '{name}'", value, minimum=0)
            continue
        is_list = key in _LISTS and "folder" not in row
        items = value if isinstance(value, list) and is_list else [value]
        if isinstance(value, list) != is_list or not all(isinstance(v, str) for v in items):
            raise ConfigError(
                f"The study's data '{name}' has the {key} {reprlib.repr(value)}. Expected "
                f"{'a list of file names' if is_list else 'text'}."
            )


def _listed_files(name: str, row: Mapping[str, Any], root: Path) -> _Files:
    lists: dict[str, tuple[Path, ...]] = {}
    for key in _LISTS:
        paths = tuple(root / str(path) for path in row.get(key, ()))
        missing = [path for path in paths if not path.exists()]
        if missing:
            raise InputFileError(
                f"The study's data '{name}' names '{missing[0]}', which does not exist. Check {key}."
            )
        if not paths:
            raise ConfigError(
                f"The study's data '{name}' has no {key}. Name at least one file, or a folder with its splits."
            )
        lists[key] = paths
    for images, masks in (("images", "masks"), ("test_images", "test_masks")):
        if len(lists[images]) != len(lists[masks]):
            raise ConfigError(
                f"The study's data '{name}' has {len(lists[images])} {images} and {len(lists[masks])} {masks}. "
                "Expected one mask for each image, in the same order."
            )
    return lists["images"], lists["masks"], lists["test_images"], lists["test_masks"]


def _find_files(name: str, row: Mapping[str, Any], root: Path) -> _Files:
    """Find images and masks of both splits in a folder."""
    options: dict[str, Any] = {
        key: str(row[key]) for key in ("dataset", "images", "masks") if key in row
    }
    found: list[list[MaskPair]] = []
    for prefix in ("", "test_"):
        split, split_file = row.get(f"{prefix}split"), row.get(f"{prefix}split_file")
        if split is None and split_file is None:
            raise ConfigError(
                f"The study's data '{name}' does not say which images of its folder are "
                f"{'for testing' if prefix else 'for training'}. Name a {prefix}split or a {prefix}split_file."
            )
        listed = None if split_file is None else root / str(split_file)
        found.append(
            find_pairs(root / str(row["folder"]), split=split, split_file=listed, **options)
        )
    training, test = found
    return (
        tuple(pair.image for pair in training),
        tuple(pair.mask for pair in training),
        tuple(pair.image for pair in test),
        tuple(pair.mask for pair in test),
    )


def place_data(data: StudyData, folder: Path, reporter: Reporter | None = None) -> StudyData:
    """Check that masks fit their images, and georeference images without CRS.

    Parameters
    ----------
    data
        The data set.
    folder
        Folder for the GeoTIFFs of such images, with a subfolder for each version of the data set; existing files are
        used again.
    reporter
        Receives progress.

    Returns
    -------
    StudyData
        The data set with the paths of the GeoTIFFs.

    Raises
    ------
    RasterError
        If a mask has another size than its image.
    """
    folder = folder / replace(data, part="all", test_part="all").fingerprint()
    images, masks = [*data.images, *data.test_images], [*data.masks, *data.test_masks]
    resolution_m = data.resolution_m or 1.0
    pairs = pair_files(images, masks, palette=data.palette or None, resolution_m=resolution_m)
    placed = [folder / f"{pair.name}.tif" for pair in pairs]
    unplaced = [not has_crs(image) for image in images]
    waiting = [
        pair
        for pair, path, is_unplaced in zip(pairs, placed, unplaced, strict=True)
        if is_unplaced and not _is_placed(path)
    ]
    if waiting:
        georeference_pairs(waiting, folder, reporter=reporter)
    for number, (path, is_unplaced) in enumerate(zip(placed, unplaced, strict=True)):
        if is_unplaced:
            images[number], masks[number] = path, path.with_name(f"{path.stem}_mask.tif")
    count = len(data.images)
    return replace(
        data,
        images=tuple(images[:count]),
        masks=tuple(masks[:count]),
        test_images=tuple(images[count:]),
        test_masks=tuple(masks[count:]),
    )


def _is_placed(path: Path) -> bool:
    return path.exists() and path.with_name(f"{path.stem}_mask.tif").exists()
