"""An embedding as the companion of sharper imagery: the setting [scene] companion."""

from __future__ import annotations

import os
from collections.abc import Sequence

from geopointseg.bands.opening import open_scenes
from geopointseg.config import SceneConfig
from geopointseg.errors import InputFileError, RasterError
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
    InputFileError
        If it does not exist.
    RasterError
        If there are several embeddings, it is none, or another product than that of the training.
    """
    path = os.fspath(companion)
    is_remote = path.startswith("/vsi") or "://" in path or ":" in path[2:]
    if not is_remote and not os.path.exists(path):  # noqa: PTH110 - Path fails on long names
        raise InputFileError(
            f"The companion '{path}' does not exist. Expected the embedding beside the imagery; name it with `[scene] companion` for a "
            "training, and with `companion=` for a map."
        )
    told = settings.reading
    found = open_scenes(
        path,
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
