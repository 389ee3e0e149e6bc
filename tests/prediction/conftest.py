"""Small models and scenes whose maps can be computed by hand."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy.ndimage import uniform_filter

from geopointseg.config import Config
from geopointseg.legend import Legend
from geopointseg.model.architecture import build_network
from geopointseg.model.bundle import ModelBundle, NetworkMember, Normalization
from geopointseg.prediction import predictor
from geopointseg.progress import Event
from geopointseg.raster import cog

TRANSFORM = Affine(10, 0, 5e5, 0, -10, 57e5)


@dataclass(frozen=True)
class BlurMember:
    """Mean of a square around each pixel, then a linear classifier: its context is known exactly."""

    radius: int = 3
    classes: int = 3
    bands: int = 2
    seed: int = 0
    weight: float = 1.0
    stride: int = 4
    kind: str = "forest"
    calls: list = field(default_factory=list)

    @property
    def margin_px(self):
        return self.radius

    def probabilities(self, image, valid):
        self.calls.append(image.shape)
        generator = np.random.default_rng(self.seed)
        matrix = generator.normal(size=(self.classes, self.bands)).astype(np.float32)
        side = 2 * self.radius + 1
        mean = uniform_filter(image.astype(np.float64), (1, 1, side, side), mode="constant")
        logits = 4 * np.einsum("kb,nbrc->nkrc", matrix, mean)
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)


def legend_of(classes):
    return Legend.from_names(
        [f"class {k}" for k in range(classes)], codes=[10 * k + 3 for k in range(classes)]
    )


def loose_bundle(folder, *members, bands=2, classes=3, temperature=1.0, metadata=None):
    """A bundle of members that are no real ones; its folder holds just enough for a fingerprint."""
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_text(repr((members, temperature)))
    norm = Normalization(np.zeros(bands), np.ones(bands))
    return ModelBundle(
        folder, legend_of(classes), tuple(f"band_{k + 1}" for k in range(bands)), norm, 10.0, 64, 7, Config(),
        tuple(members), temperature, metadata or {},
    )  # fmt: skip


def network_bundle(
    folder,
    *,
    architecture="fcn",
    bands=2,
    classes=3,
    seed=0,
    names=None,
    members=1,
    margin=8,
    sharpness=8,
    **options,
):
    """A saved bundle with a network of random weights whose answers differ from place to place."""
    import torch

    torch.manual_seed(seed)
    norm = Normalization(np.zeros(bands), np.ones(bands))
    built = []
    for _ in range(members):
        network = build_network(
            architecture, "resnet18", bands=bands, classes=classes, **options
        ).eval()
        with torch.no_grad():
            for p in network.body.segmentation_head.parameters():
                p *= sharpness
        options_kept = {"architecture": architecture, "encoder": "resnet18", **options}
        built.append(
            NetworkMember(network, norm, margin, 1 / members, options_kept, torch.device("cpu"))
        )
    names = names or tuple(f"band_{k + 1}" for k in range(bands))
    bundle = ModelBundle(
        folder, legend_of(classes), names, norm, 10.0, 64, 16, Config(), tuple(built)
    )
    return bundle.save(folder)


def backbone_bundle(folder, architecture, bands=4, classes=3):
    """A saved bundle of a network on the backbone with random weights: ``linear`` or ``pyramid``."""
    import torch

    torch.manual_seed(0)
    encoder, depth = "tf_efficientnet_lite0", 6 if architecture == "linear" else 5
    network = build_network(
        architecture, encoder, bands=bands, classes=classes, encoder_depth=depth
    ).eval()
    norm = Normalization(np.zeros(bands), np.ones(bands))
    kept = {"architecture": architecture, "encoder": encoder, "encoder_depth": depth}
    member = NetworkMember(network, norm, 8, 1.0, kept, torch.device("cpu"))
    names = tuple(f"band_{k + 1}" for k in range(bands))
    bundle = ModelBundle(folder, legend_of(classes), names, norm, 10.0, 64, 16, Config(), (member,))
    return bundle.save(folder)


def image_of(shape, bands=2, seed=0):
    """Smooth fields with hard edges."""
    generator = np.random.default_rng(seed)
    coarse = generator.normal(size=(bands, shape[0] // 16 + 2, shape[1] // 16 + 2))
    image = np.repeat(np.repeat(coarse, 16, axis=1), 16, axis=2)[
        :, 5 : 5 + shape[0], 5 : 5 + shape[1]
    ]
    return (image + 0.3 * generator.normal(size=image.shape)).astype(np.float32)


def write_scene(
    path,
    image,
    *,
    nodata=None,
    valid=None,
    names=None,
    transform=TRANSFORM,
    crs="EPSG:32633",
    **options,
):
    if valid is not None:
        image = np.where(valid, image, nodata)
    profile = {
        "driver": "GTiff", "height": image.shape[1], "width": image.shape[2], "count": image.shape[0],
        "dtype": image.dtype.name, "crs": crs, "transform": transform, "nodata": nodata,
        "photometric": "MINISBLACK",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile | options) as dataset:
        dataset.write(image)
        if names:
            dataset.descriptions = names
    return path


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of two by two windows, output tiles of 128 pixels: many of everything on small rasters."""
    monkeypatch.setattr(predictor, "SUMS_BYTES", 1)
    monkeypatch.setattr(cog, "BLOCK_PX", 32)
    monkeypatch.setattr(cog, "TILE_PX", 128)


SMALL = {"window_px": 64, "overlap_px": 16}


def all_tiles(plan):
    return list(itertools.product(*map(range, plan.lattice.shape)))


class Listener:
    """A sink that keeps events, and may cancel after some of them."""

    def __init__(self, said, cancel_after=None):
        self.said = said
        self.cancel_after = cancel_after
        self.reporter = None

    def emit(self, event: Event):
        self.said.append(event)
        if self.cancel_after is not None and len(self.said) >= self.cancel_after:
            self.reporter.cancel()

    def close(self):
        pass
