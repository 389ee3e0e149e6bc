"""
Your own torchgeo loop
======================

The datasets and samplers that `train` uses are torchgeo's classes, and the loss can be used alone. This loop trains a small U-Net on
points.
"""

import tempfile
from itertools import islice
from pathlib import Path

import matplotlib.pyplot as plt
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

folder = Path(tempfile.mkdtemp())
landscape = gps.make_landscape(240, 320, seed=1)
write_scene(landscape, str(folder / "scene.tif"))
scene = gps.Scene.open(folder / "scene.tif")
mask = gps.rasterize_points(draw_points(landscape, per_class=40), scene.grid)

# %%
# Imagery is read into memory once. The two datasets combine with ``&``; a sampler puts chips around labelled pixels.
windows = choose_windows([scene], [[mask]], room=8_000_000, chip_size=64, seed=0)
patches = read_patches([scene], windows)
labels = PatchLabels.of(patches, locate_labels(patches, [mask]), mask.legend)
dataset = SceneDataset(patches, own_pixels=True) & SparseMaskDataset(labels, scenes=patches)
plan = ChipPlan(size=64, batch=4, around_points=3, class_balance=0.5, jitter=0.9, seed=0)
values = patches[0].image[:, patches[0].valid]
loader = DataLoader(
    dataset,
    batch_sampler=StepSampler(dataset, plan),
    collate_fn=BatchCollator(values.mean(axis=1), values.std(axis=1)),
)

# %%
torch.manual_seed(0)
network = smp.Unet(
    "resnet18", encoder_weights=None, encoder_depth=3, decoder_channels=(64, 32, 16),
    in_channels=len(scene.bands), classes=len(mask.legend),
)  # fmt: skip
loss_of, losses = PartialFocalLoss(gamma=1.0), []
optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
for batch in islice(loader, 60):
    loss = loss_of(network(batch.image), batch.mask, batch.weight)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())

# %%
shown = batch.image[:, [2, 1, 0]].permute(0, 2, 3, 1)
fig, axes = plt.subplots(
    1, 5, figsize=(12, 2.6), layout="constrained", width_ratios=(1.8, 1, 1, 1, 1)
)
axes[0].plot(losses, color="#2463a6")
axes[0].set(xlabel="step", ylabel="loss", title=f"{losses[0]:.2f} -> {losses[-1]:.2f}")
for axis, chip, target in zip(axes[1:], shown, batch.mask, strict=True):
    axis.imshow((chip * 0.2 + 0.5).clip(0, 1))
    row, col = (target >= 0).nonzero().T
    axis.scatter(
        col, row, c=[mask.legend.entries[k].color for k in target[row, col]], edgecolors="white"
    )
    axis.set_axis_off()
