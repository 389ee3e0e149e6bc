"""An embedding as the companion of sharper imagery: the setting [scene] companion."""

from __future__ import annotations

import os
from collections.abc import Sequence

from geopointseg.bands.opening import open_scenes
from geopointseg.config import SceneConfig
from geopointseg.errors import RasterError
from geopointseg.progress import Reporter
from geopointseg.raster.companion_scene import CompanionScene
from geopointseg.raster.decoding import Embedding
from geopointseg.raster.embedding_check import require_same_product
from geopointseg.raster.scene import Scene


def attach_companion(
    scenes: Sequence[Scene],
    companion: str | os.PathLike[str],
    settings: SceneConfig,
    reporter: Reporter,
    *,
    bands: Sequence[str] = (),
    trained_on: Embedding | None = None,
) -> list[Scene]:
    """Return scenes with the dimensions of an embedding as further bands.

    Parameters
    ----------
    scenes
        Imagery.
    companion
        Path of the embedding.
    settings
        How it is decoded.
    reporter
        Gets the product.
    bands
        Dimensions that a model asks for; all by default.
    trained_on
        The companion of the training, where a model maps the scenes.

    Returns
    -------
    list of Scene
        `CompanionScene` for each.

    Raises
    ------
    RasterError
        If there are several embeddings, it is none, or another product than that of the training.
    """
    told = settings.reading
    found = open_scenes(
        os.fspath(companion),
        bands=bands,
        decode=told["decode"],
        dimensions=told["dimensions"],
        reporter=reporter,
    )
    if len(found) > 1:
        raise RasterError(
            f"[scene] companion '{companion}' holds {len(found)} scenes. Expected one embedding that covers the imagery; join "
            "them with gdalbuildvrt."
        )
    if trained_on is not None:
        require_same_product(found[0], trained_on, reporter)
    return [CompanionScene.of(scene, found[0]) for scene in scenes]


def reading_of_imagery(settings: SceneConfig) -> dict[str, object]:
    """Return the arguments of `open_scenes` for the imagery: decoding is that of the companion, where there is one."""
    told = settings.reading
    if settings.companion and told["decode"]:
        told |= {"decode": "none"}
    return told
