"""The model folder of a live session: an ordinary one, whose `predict` equals the live picture."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rasterio.crs import CRS

from geopointseg.assessment.location_digest import encode_locations
from geopointseg.assessment.training_points import keep_points
from geopointseg.bands.band_names import band_specs
from geopointseg.config import Config
from geopointseg.errors import OutputError, PointsError, RasterError
from geopointseg.labels.points import Points
from geopointseg.learning.training_log import describe_points, library_versions
from geopointseg.legend import Legend
from geopointseg.live.session import FittedLevel, LiveSession
from geopointseg.live.view_pyramid import MARGIN_PX
from geopointseg.model.architecture import LINEAR, Network
from geopointseg.model.backbone import DEPTH, build_backbone
from geopointseg.model.bundle import ModelBundle, is_model_folder
from geopointseg.model.filter_pyramid import FILTERS, FilterPyramid, JoinedBackbones
from geopointseg.model.linear import ABSENT_LOGIT, LinearBody
from geopointseg.model.member import NetworkMember
from geopointseg.name import printable
from geopointseg.raster.folder_publishing import require_free_folder, whole_folder
from geopointseg.raster.publishing import require_room_for_folder
from geopointseg.raster.scene import Scene

_SHOWN = 100
_LONGEST_PATH = 3800
"""Bytes. File systems take 4095, and the files of the folder and their hidden names add to it."""


def save_model(session: LiveSession, folder: Path, config: Config) -> ModelBundle:
    """Write the model of a session's points.

    Parameters
    ----------
    session
        With points of two classes at least.
    folder
        The model folder: new, empty, or an older model, which is replaced.
    config
        Settings with which the imagery was opened.

    Returns
    -------
    ModelBundle
        The model in its folder. Its legend has the classes that have points.

    Raises
    ------
    PointsError
        If fewer than two classes have points.
    OutputError
        If the folder cannot be written.
    """
    require_model_folder(folder)
    fitted = session.fitted(0)
    if fitted.head is None:
        raise PointsError(
            f"The session has points of {len(fitted.names)} classes. A model needs points of two classes at least; add some."
        )
    points = _points(session, fitted)
    bundle = _assemble_bundle(session, fitted, points, folder, config)
    with whole_folder(folder, is_model_folder) as partial:
        bundle.write(partial)
        (partial / "training").mkdir(exist_ok=True)
        keep_points(points, partial / "training")
    return bundle


def require_model_folder(folder: Path) -> None:
    """Raise `OutputError` unless a model can be written to a folder, which the sender of a message chooses."""
    try:
        size = len(os.fsencode(folder.absolute()))
    except UnicodeEncodeError as error:
        shown = printable(str(folder)[:_SHOWN])
        raise OutputError(
            f"The output folder '{shown}' holds half of a letter in UTF-16, {printable(error.object[error.start])}. Expected letters "
            "that a path can hold; choose another name."
        ) from error
    if size > _LONGEST_PATH:
        raise OutputError(
            f"The path of the output folder '{str(folder)[:_SHOWN]}...' has {size} bytes. Expected at most {_LONGEST_PATH}; choose "
            "a shorter one."
        )
    for each in (folder, *folder.parents):
        if not os.path.lexists(each):
            require_room_for_folder(each)
    require_free_folder(folder, is_model_folder)


def _points(session: LiveSession, fitted: FittedLevel) -> Points:
    """Return the points in use, with the classes that have points in the order of the legend."""
    entries = [e for e in session.points.legend.entries if e.name in fitted.names]
    legend = Legend(tuple(entries))
    refused = {problem["point"] for problem in session.points.problems()}
    used = sorted(
        (p for p in session.points.points if p.identifier not in refused),
        key=lambda p: (p.row, p.col, p.x, p.y),
    )
    index = np.array([legend.names.index(p.name) for p in used], np.int64)
    x, y = (np.array([getattr(p, axis) for p in used], np.float64) for axis in "xy")
    return Points.from_arrays(x, y, index, legend, session.scene.grid.crs)


def build_member(session: LiveSession, fitted: FittedLevel, legend: Legend) -> NetworkMember:
    """Return the head of a level as a network, with the classes of a legend.

    Parameters
    ----------
    session
        Gives the features.
    fitted
        A level with a head.
    legend
        The classes of the model, in index order.

    Returns
    -------
    NetworkMember
        Of the kind ``linear``. Pretrained features that the head does not use are left out.
    """
    head = fitted.head
    assert head is not None  # noqa: S101 - checked by the caller
    scene, layout = session.scene, session.layout
    weight, own_bias = head.weight.numpy().astype(np.float64), head.bias.numpy().astype(np.float64)
    is_filters = scene.has_eyes and np.array_equal(fitted.factors > 0, session.sets.filters > 0)
    extractor: FilterPyramid | JoinedBackbones = FilterPyramid()
    encoder = FILTERS if is_filters else scene.encoder
    if is_filters:
        weight = weight[:, session.sets.filters > 0]
    elif scene.has_eyes:
        extractor = JoinedBackbones([build_backbone(), FilterPyramid()])
    rows = np.zeros((len(legend), weight.shape[1]))
    bias = np.full(len(legend), ABSENT_LOGIT)
    positions = [legend.names.index(name) for name in fitted.names]
    rows[positions], bias[positions] = weight, own_bias
    bands = rows[:, : layout.planes] @ scene.basis.astype(np.float64)
    body = LinearBody(scene.basis.shape[1], len(legend), extractor).eval()
    body.projection.copy_(scene.body.projection)
    body.load_head(np.concatenate([bands, rows[:, layout.planes :]], axis=1), bias)
    network = Network(
        body.to(memory_format=torch.channels_last),
        architecture=LINEAR,
        encoder=encoder,
        bands=scene.basis.shape[1],
        classes=len(legend),
        output_stride=body.output_stride,
    )
    return NetworkMember(
        network=network.eval(),
        normalization=scene.normalization,
        margin_px=MARGIN_PX,
        weight=1.0,
        options={"architecture": LINEAR, "encoder": encoder, "encoder_depth": DEPTH},
        device=torch.device("cpu"),
        kind="linear",
    )


def _assemble_bundle(
    session: LiveSession, fitted: FittedLevel, points: Points, folder: Path, config: Config
) -> ModelBundle:
    member = build_member(session, fitted, points.legend)
    digest = hashlib.sha512(fitted.head.weight.numpy().tobytes()).digest() if fitted.head else b""
    counts = points.counts().tolist()
    return ModelBundle(
        folder=folder,
        legend=points.legend,
        bands=band_specs(session.scene.mosaic.scenes[0]),
        normalization=session.scene.normalization,
        resolution_m=session.scene.grid.resolution_m,
        chip_size=config.on_device("cpu").sampling.chip_size,
        receptive_field_px=2 * MARGIN_PX + 1,
        config=config,
        members=(member,),
        temperature=1.0,
        metadata=_metadata(points, counts, digest, session),
    )


def _metadata(
    points: Points, counts: list[int], digest: bytes, session: LiveSession
) -> dict[str, Any]:
    return {
        "reason": "The model was fitted in a live session: a logistic regression on fixed features.",
        "scores": {},
        "seed": 0,
        "style": None,
        "points": describe_points(points, counts),
        "training_points": encode_locations(points.x, points.y, points.crs, digest),
        "scenes": [_describe_scene(scene) for scene in session.scene.mosaic.scenes],
        "versions": library_versions(),
    }


def _describe_scene(scene: Scene) -> dict[str, Any]:
    """Return what a model card says of a scene; the digest is of an overview, because a session does not read all pixels."""
    try:
        degrees = [round(v, 7) for v in scene.grid.bounds_in(CRS.from_epsg(4326))]
    except RasterError:
        degrees = None
    overview = np.ascontiguousarray(scene.read_overview(256).image)
    return {
        "name": scene.name,
        "role": "training",
        "crs": scene.grid.crs.to_string(),
        "shape": list(scene.grid.shape),
        "bounds": list(scene.grid.bounds),
        "bounds_wgs84": degrees,
        "sha256": hashlib.sha256(overview.data).hexdigest(),
    }
