"""What matching is worth: a model of one date maps other dates, with and without it.

    python tests/benchmarks/bench_scenes.py naip    [--model forest] [--features context] [--methods none percentile ...] [--minutes 5]
    python tests/benchmarks/bench_scenes.py landsat [...]

naip: one place in 2010, 2014, 2018 and 2020 (aerial, four bands, other cameras and light). Five classes come from a
clustering of the image of 2010; 100 points a class, from places where 5 x 5 pixels agree, train a model on 2010. The
table gives the share of stable ground on which the map of a later year agrees with the map of 2010. Ground is stable
where a rule that knows nothing of matching puts it into the same of water, bare and green ground in both years:
thresholds on near infrared and NDVI, found for each image on its own (Otsu).

landsat: one place on two dates (other season, other scaling of the values, bright pixels filled with an undeclared
value). Trained on the polygons of one date, tested on the same polygons in the other.

The data are looked for in GEOPOINTSEG_DATA, or in ../shared/data beside the checkout.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geopointseg.config import Config
from geopointseg.labels.points import Points, read_points
from geopointseg.labels.sparse_mask import rasterize_points
from geopointseg.legend import Legend
from geopointseg.radiometry.band_statistics import compute_statistics
from geopointseg.radiometry.radiometric_transform import compare_mixtures
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.scene import Scene
from geopointseg.raster.warp import read_onto

DATA = Path(os.environ.get("GEOPOINTSEG_DATA", Path(__file__).parents[3] / "shared" / "data"))
METHODS = ("none", "histogram", "midpoint", "mean-std", "percentile", "invariant", "mixed")
CLUSTERS = 5
PER_CLASS = 100


def main() -> None:
    """Run one of the two experiments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", choices=["naip", "landsat"])
    parser.add_argument("--model", default="forest", choices=["forest", "network", "auto"])
    parser.add_argument("--features", default="context", choices=["pixel", "filters", "context"])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        run = naip if chosen.place == "naip" else landsat
        run(Path(folder), chosen)


def settings(
    chosen: argparse.Namespace, method: str, nodata: str = "", bands: Sequence[str] = ()
) -> Config:
    """Return the settings of one way of matching."""
    scene = {"matching": method, "nodata": nodata, "bands": tuple(bands)}
    groups: dict[str, dict[str, object]] = {"scene": scene}
    groups["optimization"] = {"minutes": chosen.minutes}
    groups["forest"] = {"features": chosen.features}
    return Config().updated(groups)


# --- one place in four years -----------------------------------------------------------------------------------


def naip(folder: Path, chosen: argparse.Namespace) -> None:
    """Train on 2010, map all years, and compare with the map of 2010."""
    from geopointseg.learning.training import train
    from geopointseg.prediction.predictor import predict

    files = sorted((DATA / "naip_multidate").glob("*.tif"))
    scenes = [Scene.open(file) for file in files]
    years = [scene.date[:4] for scene in scenes]
    grid = scenes[0].grid
    chips = [read_onto(scene.with_nodata(None), grid) for scene in scenes]
    valid = np.all([chip.valid for chip in chips], axis=0)
    kinds = [land_kind(chip.image, valid) for chip in chips]
    statistics = [compute_statistics(scene) for scene in scenes]
    points = cluster_points(chips[0].image, valid, scenes[0], chosen.seed)
    table: dict[str, list[float]] = {}
    for method in chosen.methods:
        config = settings(chosen, method)
        model = train(
            [files[0]],
            points,
            output=folder / method,
            config=config,
            seed=chosen.seed,
            model=chosen.model,
        )
        maps = []
        for file, year in zip(files, years, strict=True):
            path = folder / f"{method}_{year}.tif"
            predict(model, file, path)
            maps.append(map_on(path, grid))
        table[method] = [
            agreement(maps[0], later, valid & (kind == kinds[0]))
            for later, kind in zip(maps[1:], kinds[1:], strict=True)
        ]
        print(method, [round(v, 3) for v in table[method]], flush=True)
    stable = [float((valid & (kind == kinds[0])).sum() / valid.sum()) for kind in kinds[1:]]
    differ = [compare_mixtures(s, statistics[0]).share for s in statistics[1:]]
    print(
        f"\nAgreement with the map of {years[0]} on stable ground, {chosen.model} ({chosen.features}), seed {chosen.seed}"
    )
    print("| matching | " + " | ".join(years[1:]) + " | mean | gain |")
    print("|---|" + "---|" * (len(years) + 1))
    base = np.mean(table[chosen.methods[0]])
    for method, row in table.items():
        cells = " | ".join(f"{v:.3f}" for v in row)
        print(f"| {method} | {cells} | {np.mean(row):.3f} | {100 * (np.mean(row) - base):+.1f} |")
    print("| (stable share) | " + " | ".join(f"{v:.2f}" for v in stable) + " | | |")
    print("| (mixture difference) | " + " | ".join(f"{v:.2f}" for v in differ) + " | | |")


def land_kind(image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return 0 water, 1 bare, 2 green, by thresholds of this image alone."""
    from skimage.filters import threshold_otsu

    red, nir = image[0], image[3]
    water = nir < threshold_otsu(nir[valid])
    ndvi = (nir - red) / (nir + red + 1)
    green = ndvi > threshold_otsu(ndvi[valid & ~water])
    return np.where(water, 0, np.where(green, 2, 1))


def cluster_points(
    image: NDArray[np.float32], valid: NDArray[np.bool_], scene: Scene, seed: int
) -> Points:
    """Return points of the classes of a clustering, from places where the neighbours agree."""
    from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter
    from sklearn.cluster import KMeans

    smooth = np.stack([uniform_filter(band, 3) for band in image]).reshape(len(image), -1).T
    clustering = KMeans(CLUSTERS, n_init=4, random_state=0).fit(smooth[valid.ravel()][::7])
    found = clustering.predict(smooth).reshape(valid.shape)
    pure = valid & (minimum_filter(found, 5) == maximum_filter(found, 5))
    generator = np.random.default_rng(seed)
    places = [
        generator.choice(np.flatnonzero(pure & (found == k)), PER_CLASS, replace=False)
        for k in range(CLUSTERS)
    ]
    row, col = np.unravel_index(np.concatenate(places), valid.shape)
    x, y = scene.grid.pixel_to_world(row + 0.5, col + 0.5)
    legend = Legend.from_names([f"cluster {k + 1}" for k in range(CLUSTERS)])
    return Points.from_arrays(
        x, y, np.repeat(np.arange(CLUSTERS), PER_CLASS), legend, scene.grid.crs
    )


def map_on(path: Path, grid: object) -> NDArray[np.int64]:
    """Return class codes of a map on a grid, 0 where there is none."""
    chip = read_onto(Scene.open(path), grid, "nearest")  # type: ignore[arg-type]
    return np.where(chip.valid, chip.image[0], 0).astype(np.int64)


def agreement(
    first: NDArray[np.int64], later: NDArray[np.int64], where: NDArray[np.bool_]
) -> float:
    """Return the share of pixels with an image on both dates that have one class."""
    both = where & (first > 0) & (later > 0)
    return float((first == later)[both].mean())


# --- two dates of one place ------------------------------------------------------------------------------------


def landsat(folder: Path, chosen: argparse.Namespace) -> None:
    """Train on the polygons of one date and test on them in the other, both ways."""
    from geopointseg.learning.training import train
    from geopointseg.prediction.predictor import predict

    place = DATA / "landsat7_two_dates"
    files = sorted(place.glob("*stack.gtif"))
    polygons = read_points(place / "training_data.shp", class_field="class")
    bands = [str(k) for k in range(1, 8)]
    print("| train -> test | matching | overall agreement | mean F1 |\n|---|---|---|---|")
    for first, second in ((0, 1), (1, 0)):
        for method in chosen.methods:
            config = settings(chosen, method, "16000", bands)
            output = folder / f"{method}_{first}"
            model = train(
                [files[first]],
                polygons,
                output=output,
                config=config,
                seed=chosen.seed,
                model=chosen.model,
            )
            test = Scene.open(files[second]).with_nodata(16000)
            predict(model, test, folder / "map.tif")
            overall, f1 = score_polygons(folder / "map.tif", polygons)
            dates = " -> ".join(Scene.open(files[k]).date[:7] for k in (first, second))
            print(f"| {dates} | {method} | {overall:.3f} | {f1:.3f} |", flush=True)


def score_polygons(path: Path, polygons: Points) -> tuple[float, float]:
    """Return overall agreement and mean F1 over the pixels of polygons."""
    class_map = ClassMap.open(path)
    truth = rasterize_points(polygons, class_map.grid)
    found, valid = class_map.read(class_map.grid.window)
    names = class_map.legend.names
    place = np.array([names.index(name) for name in truth.legend.names])
    wanted, got = place[truth.class_index], found[truth.row, truth.col]
    seen = valid[truth.row, truth.col]
    wanted, got = wanted[seen], got[seen]
    f1 = [
        2 * ((wanted == k) & (got == k)).sum() / max((wanted == k).sum() + (got == k).sum(), 1)
        for k in np.unique(wanted)
    ]
    return float((wanted == got).mean()), float(np.mean(f1))


if __name__ == "__main__":
    main()
