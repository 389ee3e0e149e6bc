"""Your own training loop: torchgeo datasets and a DataLoader, our sampler and our loss.

Use this where the recipe of `geopointseg.train` is not what you want. The datasets combine with `&` and `|` and with
torchgeo's own, and the sampler puts every chip around a labelled pixel.
"""

from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from torch.utils.data import DataLoader
from torchgeo.datasets import stack_samples

import geopointseg as gps
from geopointseg.landscape import draw_points, write_scene
from geopointseg.learning.loss import PartialFocalLoss
from geopointseg.sampling import PointSampler, SceneDataset, SparseMaskDataset


def main(folder: Path, steps: int = 60) -> list[float]:
    """Train a U-Net on points alone and return the loss of every step."""
    folder.mkdir(parents=True, exist_ok=True)
    landscape = gps.make_landscape(320, 384, seed=1)
    write_scene(landscape, str(folder / "scene.tif"))
    scene = gps.Scene.open(folder / "scene.tif")
    mask = gps.rasterize_points(draw_points(landscape, per_class=40), scene.grid)

    torch.manual_seed(0)
    dataset = SceneDataset([scene]) & SparseMaskDataset([mask])
    sampler = PointSampler(dataset, size=64, length=8 * steps, balance=0.5, seed=0)
    loader = DataLoader(dataset, batch_size=8, sampler=sampler, collate_fn=stack_samples)

    network = smp.Unet(
        "resnet18", encoder_weights=None, in_channels=len(scene.bands), classes=len(mask.legend)
    )
    loss_of = PartialFocalLoss(gamma=1.0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for batch in loader:
        image = batch["image"] / 3000 - 0.5
        loss = loss_of(network(image), batch["mask"], batch["weight"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"loss {losses[0]:.2f} -> {losses[-1]:.2f} in {len(losses)} steps")
    return losses


if __name__ == "__main__":
    main(Path("example_loop"))
