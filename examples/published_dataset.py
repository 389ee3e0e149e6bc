"""From a published data set of images and dense masks to points, as if somebody had clicked them.

DeepGlobe Land Cover, LoveDA, ISPRS Potsdam and Vaihingen, LandCover.ai and Chesapeake are known by name, in the
folders in which they are published or to which torchgeo unpacks them. This script draws a small data set in the form
of DeepGlobe: pictures ``NUMBER_sat.jpg`` and colour-coded ``NUMBER_mask.png``, without any place on the ground. With
the real one, leave out `write_deepglobe`, and name its folder.
"""

import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

import geopointseg as gps
from geopointseg.lab.color_palette import PALETTES
from geopointseg.lab.image_folder import find_pairs, georeference_pairs
from geopointseg.lab.point_simulation import simulate_points

CLASSES = np.array([1, 2, 3, 3, 4, 4, 0, 0])
"""The class of DeepGlobe that stands for each class of the landscape: crop is agriculture, meadow is rangeland, ..."""


def main(folder: Path, per_class: int = 30) -> gps.Points:
    """Write a data set, georeference it, draw points and train a forest on them; return the points."""
    write_deepglobe(folder / "deepglobe" / "train")

    pairs = find_pairs(folder / "deepglobe", dataset="deepglobe", split="train")
    placed = georeference_pairs(pairs, folder / "placed")
    points = simulate_points(placed, per_class=per_class, placement="stratified", seed=0)
    gps.write_points(points, folder / "points.gpkg")
    for name, count in zip(points.legend.names, points.counts(), strict=True):
        print(f"{name:12} {count} points")

    images = [pair.image for pair in placed]
    gps.train(images, points, output=folder / "model", model="forest")
    return points


def write_deepglobe(folder: Path, count: int = 2) -> None:
    """Write pictures and masks that look like those of DeepGlobe."""
    folder.mkdir(parents=True, exist_ok=True)
    colors = PALETTES["deepglobe"].legend.rgb
    for number in range(count):
        landscape = gps.make_landscape(256, 256, seed=number)
        color = np.clip(landscape.image[[2, 1, 0]] / 12, 0, 255).astype(np.uint8)
        mask = np.moveaxis(colors[CLASSES[landscape.truth]], -1, 0)
        _write(folder / f"{number}_sat.jpg", "JPEG", color)
        _write(folder / f"{number}_mask.png", "PNG", mask)


def _write(path: Path, driver: str, values: np.ndarray) -> None:
    shape = {"count": 3, "height": values.shape[1], "width": values.shape[2], "dtype": "uint8"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver=driver, **shape) as picture:
            picture.write(values)


if __name__ == "__main__":
    main(Path("example_dataset"))
