"""All products of a prediction keep a CRS that GeoTIFF keys cannot hold."""

from __future__ import annotations

import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geopointseg.prediction.predictor import predict
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.crs import keep_crs
from tests.prediction.conftest import SMALL, BlurMember, image_of, legend_of, loose_bundle

ROTATED = "+proj=ob_tran +o_proj=longlat +lon_0=18 +o_lat_p=39.25 +o_lon_p=0 +R=6371229 +no_defs"
PLANT = (
    'ENGCRS["Plant",EDATUM["Plant datum"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],'
    'LENGTHUNIT["metre",1]]'
)


@pytest.mark.parametrize("cog", [True, False])
@pytest.mark.parametrize("crs", [ROTATED, PLANT], ids=["rotated pole", "plant"])
def test_every_product_keeps_the_crs(tmp_path, small_tiles, crs, cog):
    crs, image = CRS.from_user_input(crs), image_of((70, 130))
    with rasterio.open(
        tmp_path / "s.tif", "w", driver="GTiff", count=2, height=70, width=130, dtype="float32",
        crs=crs, transform=Affine(1e-4, 0, 1, 0, -1e-4, 1),
    ) as target:  # fmt: skip
        target.write(image)
    keep_crs(tmp_path / "s.tif", crs)
    outputs = [tmp_path / f"{name}.tif" for name in ("map", "probabilities", "uncertainty")]
    predict(
        loose_bundle(tmp_path / "m", BlurMember()), tmp_path / "s.tif", outputs[0],
        probabilities=outputs[1], uncertainty=outputs[2], cog=cog, **SMALL,
    )  # fmt: skip
    for path in outputs:
        with rasterio.open(path) as dataset:
            assert dataset.crs == crs
    assert ClassMap.open(outputs[0]).legend == legend_of(3)
