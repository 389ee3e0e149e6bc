"""Imagery with a coarser embedding beside it: the bands of both on the pixels of the imagery."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.raster.decoding import Embedding
from geopointseg.raster.scene import Chip, Scene
from geopointseg.raster.warp import read_onto


@dataclass(frozen=True, kw_only=True)
class CompanionScene(Scene):
    """A scene with the bands of imagery, then the dimensions of an embedding of the same ground.

    Each pixel of the imagery gets the vector of the embedding's pixel that it lies in. Pixels that lack either are nodata.

    Parameters
    ----------
    imagery
        The sharper scene, whose pixels are taken.
    companion
        The embedding.
    """

    imagery: Scene = field()
    companion: Scene = field()

    @classmethod
    def of(cls, imagery: Scene, companion: Scene) -> CompanionScene:
        """Return imagery with an embedding.

        Raises
        ------
        RasterError
            If the companion is imagery, or the other scene is an embedding.
        """
        if companion.embedding is None or imagery.embedding is not None:
            wrong, what = (
                (companion, "imagery") if companion.embedding is None else (imagery, "an embedding")
            )
            raise RasterError(
                f"'{wrong.name}' is {what}. Expected an embedding as [scene] companion of imagery; exchange them, or use the "
                "embedding alone."
            )
        described = {f.name: getattr(imagery, f.name) for f in fields(Scene)}
        described |= {"bands": (*imagery.bands, *companion.bands), "dtype": "float32"}
        return cls(**described, imagery=imagery, companion=companion)

    @property
    def embedding(self) -> Embedding | None:
        """None, because its pixels are those of imagery."""
        return None

    def read(self, window: Window | None = None) -> Chip:
        """Read a window of both; see `Scene.read`."""
        grid = self.grid if window is None else self.grid.crop(window)
        sharp = self.imagery.read(window)
        coarse = read_onto(self.companion, grid, "nearest")
        valid = sharp.valid & coarse.valid
        image = np.concatenate([sharp.image, coarse.image])
        np.copyto(image, 0.0, where=~valid)
        return Chip(image, valid, sharp.undeclared_nan)

    def read_overview(self, longest: int = 1000) -> Chip:
        """Read the imagery subsampled; see `Scene.read_overview`."""
        return self.imagery.read_overview(longest)

    def fingerprint(self) -> str | None:
        """Return a text that changes when the files or bands of either change; None for remote files."""
        parts = (self.imagery.fingerprint(), self.companion.fingerprint())
        return None if None in parts else repr(parts)
