"""Whether a raster that was just written is whole: GDAL tells no error for blocks that it writes while it closes a file."""

from __future__ import annotations

import warnings
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_whole(path: Path, *, thorough: bool) -> bool:
    """Return whether the blocks of a GeoTIFF can be read; True for files of other kinds.

    Parameters
    ----------
    path
        The file.
    thorough
        Whether all blocks are read, and not only the last one of each band and overview, which is written last.

    Returns
    -------
    bool
        False if the file has been cut off.
    """
    with path.open("rb") as file:
        if file.read(4) not in _MAGIC:
            return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, sharing=False) as dataset:
                levels = len(dataset.overviews(1))
                _read_blocks(dataset, thorough=thorough)
            for level in range(levels):
                with rasterio.open(path, sharing=False, overview_level=level) as overview:
                    _read_blocks(overview, thorough=thorough)
    except RasterioError:
        return False
    return True


def _read_blocks(dataset: DatasetReader, *, thorough: bool) -> None:
    last = Window(dataset.width - 1, dataset.height - 1, 1, 1)
    for index in dataset.indexes:
        windows = (window for _, window in dataset.block_windows(index)) if thorough else [last]
        for window in windows:
            dataset.read(index, window=window)
