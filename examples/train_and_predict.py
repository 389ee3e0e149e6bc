"""From points to a georeferenced map in three calls."""

from pathlib import Path

import geopointseg as gps
from geopointseg.landscape import draw_points, write_scene


def main(folder: Path, minutes: float = 1.0) -> Path:
    """Train on a small landscape and write map.tif with its uncertainty."""
    folder.mkdir(parents=True, exist_ok=True)
    landscape = gps.make_landscape(320, 384, seed=1)
    write_scene(landscape, str(folder / "scene.tif"))
    gps.write_points(draw_points(landscape, per_class=40), folder / "points.gpkg")

    points = gps.read_points(folder / "points.gpkg")
    settings = gps.Config().updated({"optimization": {"minutes": minutes}})
    model = gps.train([folder / "scene.tif"], points, output=folder / "model", config=settings)
    print(model.metadata["reason"])

    gps.predict(
        model, folder / "scene.tif", folder / "map.tif", uncertainty=folder / "uncertainty.tif"
    )
    return folder / "map.tif"


if __name__ == "__main__":
    main(Path("example_map"))
