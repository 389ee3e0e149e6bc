"""Embeddings among the files of a call: what is used beside them, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from geopointseg.bands.file_sorting import LeftOut, SourceFile, leave_out
from geopointseg.errors import RasterError
from geopointseg.raster.embedding_check import require_one_embedding
from geopointseg.raster.embedding_grid import is_land_mask

_LONGEST = 1000


def separate_embeddings(
    files: Sequence[SourceFile], dates: str
) -> tuple[list[SourceFile], list[LeftOut]]:
    """Return the files to use, and those beside embeddings that a folder holds and that are none.

    Parameters
    ----------
    files
        All files of a call, with decoded scenes.
    dates
        The setting [scene] dates.

    Returns
    -------
    files
        Embeddings only, or imagery without the land masks of grids.
    left_out
        The others.

    Raises
    ------
    RasterError
        If imagery was named beside an embedding, products, versions or years differ, or the land mask of a grid was given
        in place of the grid.
    """
    masks = [file for file in files if _is_land_mask_file(file)]
    kept = [file for file in files if file not in masks]
    named = next((file for file in masks if file.named), None) or (masks[0] if not kept else None)
    if named is not None:
        _refuse_land_mask(Path(named.scene.path))
    left_out = [leave_out(file, "land mask of a grid") for file in masks]
    embeddings = [file for file in kept if file.scene.embedding is not None]
    if not embeddings:
        return kept, left_out
    found = [file for file in kept if file not in embeddings and not (file.named or file.opened)]
    kept = [file for file in kept if file not in found]
    require_one_embedding([file.scene for file in kept])
    if dates == "channels":
        raise RasterError(
            f"'{kept[0].scene.name}' is an embedding, and [scene] dates is 'channels'. Expected 'scenes': an embedding describes "
            "a whole year, and years are not mixed."
        )
    return kept, [*left_out, *(leave_out(file, "beside an embedding") for file in found)]


def _is_land_mask_file(file: SourceFile) -> bool:
    path = Path(file.scene.path[-_LONGEST:])
    return file.is_single and file.scene.embedding is None and is_land_mask(path)


def _refuse_land_mask(path: Path) -> NoReturn:
    grid = path.with_suffix(".npy")
    todo = f"give '{grid.name}'" if grid.is_file() else "download the grid, too, and give that"
    raise RasterError(
        f"'{path.name}' is the land mask of a TESSERA grid and no imagery. Expected '{grid.name}' and "
        f"'{grid.stem}_scales.npy', which hold the embedding; {todo}."
    )
