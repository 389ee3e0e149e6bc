"""Checks of embeddings: whether vectors are decoded once, have their length, and are of one product, version and year."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.progress import Reporter
from geopointseg.raster.decoding import Embedding
from geopointseg.raster.scene import Scene

_SAMPLE_PX = 32
_UNIT_TOLERANCE = 0.05
_CODES_LIMIT = 2.0
_TWICE_DECODED = 1e-3


def check_vectors(scene: Scene, reporter: Reporter) -> None:
    """Check decoded vectors in a few windows: codes taken for numbers, numbers taken for codes, and unit length.

    Parameters
    ----------
    scene
        Decoded.
    reporter
        Gets the product, and a warning where AlphaEarth's vectors are not of unit length.

    Raises
    ------
    RasterError
        If values are codes that were not decoded, or were decoded before.
    """
    vectors = sample_vectors(scene)
    embedding = scene.embedding
    if embedding is None or not len(vectors):
        return
    decoding = next(b.decoding for b in scene.bands if b.decoding)
    if not decoding.changes_values and holds_codes(vectors):
        raise RasterError(
            f"'{scene.name}' has the bands of {embedding.product} and holds codes as {scene.dtype}: whole numbers from "
            f"{vectors.min():g} to {vectors.max():g}. Expected decoded numbers, or codes as int8; set [scene] decode to "
            f"'{embedding.product}' to decode them."
        )
    if decoding.changes_values and np.abs(vectors).max() < _TWICE_DECODED:
        raise RasterError(
            f"'{scene.name}' is decoded to numbers below {_TWICE_DECODED:g}, because its stored values were decoded before or "
            "cut to -1, 0 and 1. Expected codes; set [scene] decode to 'none', or take the original file."
        )
    length = np.linalg.norm(vectors, axis=1)
    text = f"'{scene.name}' is an embedding: {embedding.name}, {len(scene.bands)} dimensions"
    if embedding.product == "AlphaEarth" and len(scene.bands) == 64:
        if abs(float(np.median(length)) - 1) > _UNIT_TOLERANCE:
            reporter.warn(
                f"The vectors of '{scene.name}' have a median length of {np.median(length):.3f}. Expected AlphaEarth's vectors "
                "of length 1; averaged, resampled or otherwise changed files give other maps than the original."
            )
        else:
            text += f", vectors of unit length (median {np.median(length):.3f})"
    reporter.log(f"{text}. {embedding.attribution}", embedding=embedding.to_json())


def holds_codes(vectors: NDArray[np.float32]) -> bool:
    """Whether numbers are whole and beyond what unit vectors hold."""
    if not len(vectors):
        return False
    return bool(np.abs(vectors).max() > _CODES_LIMIT and (vectors == np.rint(vectors)).all())


def sample_vectors(scene: Scene) -> NDArray[np.float32]:
    """Return valid vectors ``(pixel, dimension)`` of five small windows: in the middle and halfway to each corner."""
    height, width = scene.grid.shape
    parts = []
    for down, across in ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)):
        rows, cols = min(_SAMPLE_PX, height), min(_SAMPLE_PX, width)
        top = min(int(down * height), height - rows)
        left = min(int(across * width), width - cols)
        chip = scene.read(Window(left, top, cols, rows))
        parts.append(chip.image[:, chip.valid].T)
    return np.concatenate(parts)


def require_one_embedding(scenes: Sequence[Scene]) -> None:
    """Raise `RasterError` unless scenes are all imagery, or embeddings of one product, version and year."""
    for first, scene in itertools.product(scenes[:1], scenes[1:]):
        here, there = scene.embedding, first.embedding
        if (here is None) != (there is None):
            vectors, pictures = (scene, first) if there is None else (first, scene)
            raise RasterError(
                f"'{vectors.name}' is an embedding ({_name(vectors)}) and '{pictures.name}' is imagery. Expected one kind in a "
                "job, because vectors are no radiances; leave one out, or name the embedding as [scene] companion."
            )
        if here is None or there is None:
            continue
        for what, own, other in (
            ("product", here.product, there.product),
            ("version", here.version, there.version),
            ("year", here.year, there.year),
        ):
            if own != other and own and other:
                raise RasterError(
                    f"'{first.name}' is {there.name} and '{scene.name}' {here.name}. Expected one {what} in a job, because the "
                    f"dimensions of another {what} have other meanings; leave one of them out."
                )


def _name(scene: Scene) -> str:
    return scene.embedding.name if scene.embedding else "imagery"


def require_same_product(scene: Scene, model: Embedding | None, reporter: Reporter) -> None:
    """Raise `RasterError` unless a scene is of the product and version that a model was trained on.

    Parameters
    ----------
    scene
        The scene to be mapped.
    model
        The embedding of the training; None for imagery.
    reporter
        Gets a warning where the year differs.

    Raises
    ------
    RasterError
        If one is an embedding and the other is not, or product or version differ.
    """
    here = scene.embedding
    if (here is None) != (model is None):
        scene_is = f"an embedding ({here.name})" if here else "imagery"
        model_is = f"an embedding ({model.name})" if model else "imagery"
        raise RasterError(
            f"'{scene.name}' is {scene_is} and the model was trained on {model_is}. Expected the same kind of scene; choose "
            "another raster, or train a model on this one."
        )
    if here is None or model is None:
        return
    versions = (here.version, model.version)
    if here.product != model.product or (all(versions) and versions[0] != versions[1]):
        raise RasterError(
            f"'{scene.name}' is {here.name} and the model was trained on {model.name}. Expected the same product and version, "
            "because dimensions of others have other meanings; choose another raster, or train a model on this one."
        )
    if here.year != model.year and here.year and model.year:
        reporter.warn(
            f"'{scene.name}' describes {here.year} and the model was trained on {model.year}. Its accuracy in {here.year} is "
            "not known; assess the map with points of that year."
        )
