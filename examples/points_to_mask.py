"""Turn clicked points into a sparse mask on the scene's grid.

Points may be in any coordinate reference system; pixels without a point stay unlabelled, which is neither a class
nor nodata.
"""

from pathlib import Path

import geopointseg as gps
from geopointseg.labels.sparse_mask import write_mask
from geopointseg.landscape import draw_points, write_scene


def main(folder: Path) -> gps.SparseMask:
    """Write scene.tif, points.gpkg and mask.tif into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    landscape = gps.make_landscape(320, 384, seed=1)
    write_scene(landscape, str(folder / "scene.tif"))
    gps.write_points(draw_points(landscape, per_class=12), folder / "points.gpkg")

    points = gps.read_points(folder / "points.gpkg")
    mask = gps.rasterize_points(points, gps.Scene.open(folder / "scene.tif").grid)
    write_mask(mask, folder / "mask.tif")

    for name, pixels in zip(mask.legend.names, mask.counts(), strict=True):
        print(f"{name:10} {pixels} labelled pixels")
    return mask


if __name__ == "__main__":
    main(Path("example_mask"))
