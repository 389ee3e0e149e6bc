"""Your own training loop on the very objects that `geopointseg.train` draws its chips from.

Use this where the recipe of `geopointseg.train` is not what you want. Imagery is read into memory once; the datasets are
torchgeo's `GeoDataset`, combine with `&` and `|` and with torchgeo's own; `StepSampler` mixes a `PointSampler`, which puts
every chip around a labelled pixel and balances the classes, with an `UnlabelledSampler`.
"""

from itertools import islice
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from torch.utils.data import DataLoader

import geopointseg as gps
from geopointseg.landscape import draw_points, write_scene
from geopointseg.learning.loss import PartialFocalLoss
from geopointseg.sampling import (
    BatchCollator,
    ChipPlan,
    PatchLabels,
    SceneDataset,
    SparseMaskDataset,
    StepSampler,
    choose_windows,
    locate_labels,
    read_patches,
)


def main(folder: Path, steps: int = 60) -> list[float]:
    """Train a U-Net on points alone and return the loss of every step."""
    folder.mkdir(parents=True, exist_ok=True)
    landscape = gps.make_landscape(320, 384, seed=1)
    write_scene(landscape, str(folder / "scene.tif"))
    scene = gps.Scene.open(folder / "scene.tif")
    mask = gps.rasterize_points(draw_points(landscape, per_class=40), scene.grid)

    # imagery in memory: scenes that fit are read as a whole, of others windows around the labels first
    windows = choose_windows([scene], [[mask]], room=8_000_000, chip_size=64, seed=0)
    patches = read_patches([scene], windows)
    masks = PatchLabels.of(patches, locate_labels(patches, [mask]), mask.legend)

    dataset = SceneDataset(patches, own_pixels=True) & SparseMaskDataset(masks, scenes=patches)
    plan = ChipPlan(size=64, batch=8, around_points=6, class_balance=0.5, jitter=0.9, seed=0)
    values = patches[0].image[:, patches[0].valid]
    loader = DataLoader(
        dataset,
        batch_sampler=StepSampler(dataset, plan),
        collate_fn=BatchCollator(values.mean(axis=1), values.std(axis=1)),
    )

    torch.manual_seed(0)
    network = smp.Unet(
        "resnet18", encoder_weights=None, in_channels=len(scene.bands), classes=len(mask.legend)
    )
    loss_of = PartialFocalLoss(gamma=1.0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for batch in islice(loader, steps):
        loss = loss_of(network(batch.image), batch.mask, batch.weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"loss {losses[0]:.2f} -> {losses[-1]:.2f} in {len(losses)} steps")
    return losses


if __name__ == "__main__":
    main(Path("example_loop"))
