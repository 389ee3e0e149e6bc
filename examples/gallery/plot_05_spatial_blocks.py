"""
Divide points by blocks of ground
=================================

Points near each other are alike. A random half of them would test the memory of a model, so points are divided by square blocks. The range
of the variogram of the labels gives the size of the blocks.
"""

import matplotlib.pyplot as plt
import numpy as np

import geopointseg as gps
from geopointseg.labels.variogram import label_variogram
from geopointseg.landscape import draw_points

landscape = gps.make_landscape(320, 480, seed=1)
points = draw_points(landscape, per_class=60, crs=landscape.grid.crs)
variogram = label_variogram(points)
print(f"labels are correlated up to {variogram.range_m:.0f} m")

# %%
divided = gps.split_points(points, folds=4, block_size_m=variogram.range_m, seed=0)

fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained", width_ratios=(1, 1.4))
axes[0].plot(variogram.lag_m, variogram.semivariance, "o", color="#2463a6")
axes[0].axvline(variogram.range_m, color="#c4501b", label="range")
axes[0].set(xlabel="distance (m)", ylabel="share of pairs of two classes", ylim=(0, 1))
axes[0].legend(frameon=False)
for name in np.unique(divided.split):
    chosen = divided.split == name
    axes[1].scatter(divided.x[chosen], divided.y[chosen], s=14, label=name)
axes[1].set(aspect="equal", title=f"blocks of {variogram.range_m:.0f} m", xticks=[], yticks=[])
axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
