"""
Windows, tiles and blending
===========================

A raster is predicted in overlapping windows. Weights that sum to one at every pixel blend them, so no seam is visible. Windows are grouped
into tiles, the unit of resuming a run and of work for Dask. Memory depends on the size of a tile, not on that of the raster.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from geopointseg.prediction.tiling import lay_lattice

lattice = lay_lattice(
    (3000, 4200),
    window_px=512,
    overlap_px=128,
    stride=16,
    channels=10,
    margin_px=32,
    sums_bytes=60_000_000,
)
print(lattice.window_count, "windows in", len(lattice.tiles), "tiles")

# %%
# Weights along the columns, and their sum.
_, profiles = lattice.profiles
total = np.zeros(lattice.cols.origins[-1] + lattice.cols.size)
for start, profile in zip(lattice.cols.origins, profiles, strict=True):
    total[start : start + len(profile)] += profile
print(f"the sum of the weights is between {total.min():.6f} and {total.max():.6f}")

# %%
fig, axes = plt.subplots(2, 1, figsize=(8, 7), layout="constrained", height_ratios=(3, 1))
for number, tile in enumerate(lattice.tiles):
    extent = lattice.extent(tile)
    color = f"C{number}"
    axes[0].add_patch(
        Rectangle(
            (extent.col_off, extent.row_off), extent.width, extent.height, color=color, alpha=0.2
        )
    )
for top in lattice.rows.origins:
    for left in lattice.cols.origins:
        axes[0].add_patch(Rectangle((left, top), 512, 512, fill=False, linewidth=0.6))
axes[0].set(
    xlim=(-20, 4220), ylim=(3020, -20), aspect="equal", title="windows (lines) and tiles (colours)"
)
for start, profile in zip(lattice.cols.origins, profiles, strict=True):
    axes[1].plot(np.arange(start, start + len(profile)), profile)
axes[1].plot(total, color="black", linewidth=0.8, linestyle="--", label="sum")
axes[1].set(xlabel="column (pixels)", ylabel="weight", ylim=(0, 1.15))
axes[1].legend(loc="lower right")
