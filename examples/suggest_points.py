"""Ask a model where the next points would help it most.

Train on few points, then let the model look at the whole scene: it names places of the classes with the fewest points,
where it is unsure, which are unlike what it has seen, and which are not near each other. The GeoPackage that comes out has an empty class field to fill in
with QGIS.
"""

from pathlib import Path

import geopointseg as gps
from geopointseg.landscape import draw_points, write_scene
from geopointseg.validation.suggestion import SuggestedPoints, suggest


def main(folder: Path, count: int = 20, trees: int = 100) -> SuggestedPoints:
    """Write scene.tif, model/ and suggested.gpkg into a folder and return the suggestions."""
    folder.mkdir(parents=True, exist_ok=True)
    landscape = gps.make_landscape(320, 384, seed=1)
    write_scene(landscape, str(folder / "scene.tif"))
    points = draw_points(landscape, per_class=6)

    settings = gps.Config().updated({"forest": {"trees": trees}})
    model = gps.train(
        folder / "scene.tif", points, output=folder / "model", config=settings, model="forest"
    )
    suggested = suggest(
        model, folder / "scene.tif", count, 20, folder / "suggested.gpkg", points=points
    )
    print(f"{len(suggested)} places to look at next are in {folder / 'suggested.gpkg'}")
    return suggested


if __name__ == "__main__":
    main(Path("example_suggestions"))
