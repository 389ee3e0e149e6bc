"""Maps equal what one huge window would give, whatever the size, the tiling and the nodata."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS
from rasterio.vrt import WarpedVRT

from geopointseg.errors import (
    Cancelled,
    ConfigError,
    InputFileError,
    ModelError,
    OutputError,
    RasterError,
)
from geopointseg.prediction import output_tiles as finishing
from geopointseg.prediction import predictor
from geopointseg.prediction.mosaic import AreaOfInterest
from geopointseg.prediction.predictor import predict, predict_array
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.grid import Grid
from geopointseg.raster.scene import Scene
from tests.prediction.conftest import (
    SMALL,
    BlurMember,
    Listener,
    image_of,
    legend_of,
    loose_bundle,
    network_bundle,
    write_scene,
)


def one_shot(member, image, valid=None):
    valid = np.ones(image.shape[1:], bool) if valid is None else valid
    return member.probabilities(np.where(valid, image, 0)[None].astype(np.float32), valid[None])[0]


def read_all(path):
    chip = Scene.open(path).read()
    return chip.image, chip.valid


@pytest.mark.parametrize("blend", ["hann", "crop"])
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 300), (3, 5), (64, 64), (65, 64), (63, 129), (128, 128), (200, 333)]
)
def test_tiled_equals_one_shot(tmp_path, small_tiles, shape, blend):
    image, member = image_of(shape), BlurMember()
    scene = write_scene(tmp_path / "s.tif", image)
    bundle = loose_bundle(tmp_path / "m", member)
    done = predict(
        bundle, scene, tmp_path / "map.tif", probabilities=tmp_path / "p.tif", blend=blend, encoding="float32", **SMALL
    )  # fmt: skip
    expected = one_shot(member, image)
    found, valid = read_all(tmp_path / "p.tif")
    assert valid.all()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    index, mapped = ClassMap.open(done.path).read()
    assert mapped.all()
    assert np.array_equal(index, found.argmax(axis=0))
    assert sum(done.class_pixels.values()) == done.pixels == shape[0] * shape[1]


def test_grid_names_and_codes_are_the_scenes_and_the_models(tmp_path, small_tiles):
    transform = Affine(0.3, 0.1, 5e5 + 1 / 3, 0.1, -0.3, 57e5 + 1 / 7)
    scene = write_scene(tmp_path / "s.tif", image_of((100, 80)), transform=transform)
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    predict(
        bundle,
        scene,
        tmp_path / "map.tif",
        probabilities=tmp_path / "p.tif",
        uncertainty=tmp_path / "u.tif",
        **SMALL,
    )
    with rasterio.open(scene) as a, rasterio.open(tmp_path / "map.tif") as b:
        assert tuple(a.transform) == tuple(b.transform)
        assert a.crs == b.crs
        assert a.shape == b.shape
        assert set(np.unique(b.read(1))) <= {3, 13, 23}
    opened = ClassMap.open(tmp_path / "map.tif")
    assert opened.legend == legend_of(3)
    assert opened.fingerprint == bundle.fingerprint
    assert Scene.open(tmp_path / "p.tif").band_names == ["class 0", "class 1", "class 2"]
    assert Scene.open(tmp_path / "u.tif").band_names == ["confidence", "entropy", "margin"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "m", "map.qml", "map.tif", "map.tif.aux.xml", "p.tif", "s.tif", "u.tif",
    ]  # fmt: skip


def test_south_up_scene(tmp_path, small_tiles):
    scene = write_scene(
        tmp_path / "s.tif", image_of((90, 70)), transform=Affine(10, 0, 5e5, 0, 10, 57e5)
    )
    predict(loose_bundle(tmp_path / "m", BlurMember()), scene, tmp_path / "map.tif", **SMALL)
    with rasterio.open(tmp_path / "map.tif") as found:
        assert found.transform == Affine(10, 0, 5e5, 0, 10, 57e5)


@pytest.mark.parametrize("nodata", [-9.0, float("nan"), 1e30])
def test_nodata_is_masked_in_and_out(tmp_path, small_tiles, nodata):
    image, member = image_of((200, 260)), BlurMember()
    valid = np.ones(image.shape[1:], bool)
    valid[40:170, 100:220] = False
    valid[:3] = False
    scene = write_scene(tmp_path / "s.tif", image, nodata=nodata, valid=valid)
    done = predict(
        loose_bundle(tmp_path / "m", member), scene, tmp_path / "map.tif",
        probabilities=tmp_path / "p.tif", encoding="float32", **SMALL,
    )  # fmt: skip
    _, mapped = ClassMap.open(done.path).read()
    assert np.array_equal(mapped, valid)
    found, there = read_all(tmp_path / "p.tif")
    assert np.array_equal(there, valid)
    np.testing.assert_allclose(found[:, valid], one_shot(member, image, valid)[:, valid], atol=1e-5)
    assert done.pixels == valid.sum()


def test_windows_without_an_image_are_not_computed(tmp_path, small_tiles):
    image, member = image_of((512, 512)), BlurMember()
    valid = np.zeros(image.shape[1:], bool)
    valid[:40, :40] = True
    scene = write_scene(tmp_path / "s.tif", image, nodata=-9, valid=valid)
    predict(loose_bundle(tmp_path / "m", member), scene, tmp_path / "map.tif", **SMALL)
    assert member.calls == [(1, 2, 64, 64)]
    assert np.array_equal(ClassMap.open(tmp_path / "map.tif").read()[1], valid)


def test_undeclared_nan_is_nodata_with_a_warning(tmp_path, small_tiles):
    image = image_of((64, 64))
    image[:, :5] = np.nan
    scene = write_scene(tmp_path / "s.tif", image)
    with pytest.warns(UserWarning, match=r"320 pixels .* are NaN.*treated as nodata"):
        predict(loose_bundle(tmp_path / "m", BlurMember()), scene, tmp_path / "map.tif", **SMALL)
    assert not ClassMap.open(tmp_path / "map.tif").read()[1][:5].any()


def test_infinities_are_refused(tmp_path, small_tiles):
    image = image_of((64, 64))
    image[1, 7, 9] = np.inf
    scene = write_scene(tmp_path / "s.tif", image)
    with pytest.raises(RasterError, match="infinite value"):
        predict(loose_bundle(tmp_path / "m", BlurMember()), scene, tmp_path / "map.tif", **SMALL)
    assert not (tmp_path / "map.tif").exists()


class BrokenMember(BlurMember):
    """Returns one value in place of all probabilities of pixels whose first band is above 1000, or of those without an image."""

    def __init__(self, value, where):
        super().__init__()
        object.__setattr__(self, "change", (value, where))

    def probabilities(self, image, valid):
        found = super().probabilities(np.minimum(image, 1000), valid)
        value, where = self.change
        broken = ~valid if where == "invalid" else image[:, 0] > 1000
        np.moveaxis(found, 1, -1)[broken] = value
        return found


@pytest.mark.parametrize("value", [np.nan, np.inf, 0])
def test_pixels_without_probabilities_are_an_error_and_no_nodata(tmp_path, small_tiles, value):
    image = image_of((64, 64))
    image[0, 40, 9] = 3e30
    scene = write_scene(tmp_path / "s.tif", image)
    bundle = loose_bundle(tmp_path / "m", BrokenMember(value, "valid"))
    with pytest.raises(
        ModelError,
        match=r"no probabilities for 1 pixels of a window.*largest value .* 3e\+30\..*Expected .*nodata",
    ):
        predict(bundle, scene, tmp_path / "map.tif", probabilities=tmp_path / "p.tif", **SMALL)
    assert not (tmp_path / "map.tif").exists()


def test_probabilities_of_pixels_without_an_image_carry_no_information(tmp_path, small_tiles):
    image, valid = image_of((64, 64)), np.ones((64, 64), bool)
    valid[30:50, 10:40] = False
    scene = write_scene(tmp_path / "s.tif", image, nodata=-9, valid=valid)
    bundle = loose_bundle(tmp_path / "m", BrokenMember(np.nan, "invalid"))
    predict(bundle, scene, tmp_path / "map.tif", **SMALL)
    assert np.array_equal(ClassMap.open(tmp_path / "map.tif").read()[1], valid)


def test_uncertainty_follows_from_the_probabilities(tmp_path, small_tiles):
    image = image_of((100, 90))
    members = [BlurMember(seed=1, weight=0.25), BlurMember(seed=2, weight=0.75)]
    bundle = loose_bundle(tmp_path / "m", *members)
    scene = write_scene(tmp_path / "s.tif", image)
    predict(
        bundle,
        scene,
        tmp_path / "map.tif",
        uncertainty=tmp_path / "u.tif",
        encoding="float32",
        **SMALL,
    )
    each = [one_shot(member, image).astype(np.float64) for member in members]
    mean = 0.25 * each[0] + 0.75 * each[1]
    entropy = [-(p * np.log(p)).sum(axis=0) / np.log(3) for p in (*each, mean)]
    ordered = np.sort(mean, axis=0)
    expected = [
        ordered[-1],
        entropy[2],
        ordered[-1] - ordered[-2],
        entropy[2] - 0.25 * entropy[0] - 0.75 * entropy[1],
    ]
    found, _ = read_all(tmp_path / "u.tif")
    np.testing.assert_allclose(found, np.stack(expected), atol=2e-5)
    assert Scene.open(tmp_path / "u.tif").band_names[-1] == "disagreement"


def test_bytes_hold_probabilities_in_steps(tmp_path, small_tiles):
    image, member = image_of((70, 70)), BlurMember()
    scene = write_scene(tmp_path / "s.tif", image)
    bundle = loose_bundle(tmp_path / "m", member)
    predict(bundle, scene, tmp_path / "map.tif", probabilities=tmp_path / "p.tif", **SMALL)
    found, _ = read_all(tmp_path / "p.tif")
    assert np.abs(found - one_shot(member, image)).max() <= 0.002 + 1e-5
    with rasterio.open(tmp_path / "p.tif") as dataset:
        assert dataset.dtypes[0] == "uint8"


def test_several_models_are_averaged(tmp_path, small_tiles):
    image = image_of((64, 80))
    scene = write_scene(tmp_path / "s.tif", image)
    a, b = BlurMember(seed=1), BlurMember(seed=2)
    bundles = [loose_bundle(tmp_path / "a", a), loose_bundle(tmp_path / "b", b)]
    predict(
        bundles,
        scene,
        tmp_path / "map.tif",
        probabilities=tmp_path / "p.tif",
        encoding="float32",
        **SMALL,
    )
    found, _ = read_all(tmp_path / "p.tif")
    np.testing.assert_allclose(found, (one_shot(a, image) + one_shot(b, image)) / 2, atol=1e-5)
    assert ClassMap.open(tmp_path / "map.tif").fingerprint.count(",") == 1


def test_a_clearly_worse_model_has_less_weight(tmp_path, small_tiles):
    image = image_of((64, 80))
    scene = write_scene(tmp_path / "s.tif", image)
    members = [BlurMember(seed=seed) for seed in (1, 2, 3)]
    losses = {"good": 0.4, "as_good": 0.5, "bad": 1.0}
    bundles = [
        loose_bundle(tmp_path / name, member, metadata={"scores": {"forest": {"loss": loss}}})
        for (name, loss), member in zip(losses.items(), members, strict=True)
    ]
    messages = []
    predict(
        bundles, scene, tmp_path / "map.tif", probabilities=tmp_path / "p.tif", encoding="float32",
        reporter=Reporter(SimpleNamespace(emit=lambda e: messages.append(e.message), close=int)), **SMALL,
    )  # fmt: skip
    found, _ = read_all(tmp_path / "p.tif")
    votes = [one_shot(member, image) for member in members]
    expected = (votes[0] + votes[1] + votes[2] / 9) / (2 + 1 / 9)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert any("'good' 47%, 'as_good' 47%, 'bad' 5%" in message for message in messages)


def test_models_with_other_classes_are_refused(tmp_path):
    scene = write_scene(tmp_path / "s.tif", image_of((64, 80)))
    bundles = [
        loose_bundle(tmp_path / "a", BlurMember()),
        loose_bundle(tmp_path / "b", BlurMember(classes=4), classes=4),
    ]
    with pytest.raises(ModelError, match="different classes"):
        predict(bundles, scene, tmp_path / "map.tif")


def test_mosaic_of_neighbours_equals_the_whole(tmp_path, small_tiles):
    image, member = image_of((150, 200)), BlurMember()
    whole = write_scene(tmp_path / "whole.tif", image)
    moved = Affine(10, 0, 5e5 + 900, 0, -10, 57e5)
    parts = [
        write_scene(tmp_path / "left.tif", image[:, :, :110]),
        write_scene(tmp_path / "right.tif", image[:, :, 90:], transform=moved),
    ]
    bundle = loose_bundle(tmp_path / "m", member)
    predict(bundle, whole, tmp_path / "a.tif", **SMALL)
    predict(bundle, parts, tmp_path / "b.tif", **SMALL)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_other_pixels_are_resampled_with_a_word(tmp_path, small_tiles):
    first = write_scene(tmp_path / "a.tif", image_of((60, 60)))
    second = write_scene(
        tmp_path / "b.tif", image_of((60, 60)), transform=Affine(20, 0, 5e5 + 600, 0, -20, 57e5)
    )
    said = []
    reporter = Reporter(Listener(said))
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    predict(bundle, [first, second], tmp_path / "map.tif", reporter=reporter, **SMALL)
    assert any(
        "'b.tif'" in e.message and "resampled to the pixels of 'a.tif'" in e.message for e in said
    )
    grid = ClassMap.open(tmp_path / "map.tif").grid
    assert grid.shape == (120, 180)
    assert grid.transform == Affine(10, 0, 5e5, 0, -10, 57e5)


def test_area_of_interest(tmp_path, small_tiles):
    import geopandas
    from shapely.geometry import box

    image, member = image_of((200, 200)), BlurMember()
    scene = write_scene(tmp_path / "s.tif", image)
    frame = geopandas.GeoDataFrame(
        geometry=[box(5e5 + 300, 57e5 - 900, 5e5 + 800, 57e5 - 400)], crs="EPSG:32633"
    )
    frame.to_crs("EPSG:4326").to_file(tmp_path / "area.gpkg", layer="area")
    site = geopandas.GeoDataFrame(geometry=frame.centroid, crs=frame.crs)
    site.to_file(tmp_path / "area.gpkg", layer="aaa site")  # no polygons: not what is meant
    (tmp_path / "area.gpkg").rename(tmp_path / "area!;.gpkg")
    predict(
        loose_bundle(tmp_path / "m", member), scene, tmp_path / "map.tif", aoi=tmp_path / "area!;.gpkg",
        probabilities=tmp_path / "p.tif", encoding="float32", **SMALL,
    )  # fmt: skip
    expected = np.zeros((200, 200), bool)
    expected[40:90, 30:80] = True
    _, mapped = ClassMap.open(tmp_path / "map.tif").read()
    assert (
        mapped != expected
    ).sum() <= 200  # the transform and back moves the border by less than a pixel
    found, there = read_all(tmp_path / "p.tif")
    np.testing.assert_allclose(found[:, there], one_shot(member, image)[:, there], atol=1e-5)
    frame.translate(xoff=1e6).to_file(tmp_path / "far.gpkg")
    with pytest.raises(RasterError, match="does not touch the imagery"):
        predict(
            loose_bundle(tmp_path / "m", member),
            scene,
            tmp_path / "map.tif",
            aoi=tmp_path / "far.gpkg",
        )


def test_an_area_of_interest_in_two_layers_is_asked_about(tmp_path):
    import geopandas
    from shapely.geometry import box

    for layer in ("old", "new"):
        frame = geopandas.GeoDataFrame(geometry=[box(0, 0, 1, 1)], crs="EPSG:32633")
        frame.to_file(tmp_path / "area.gpkg", layer=layer)
    with pytest.raises(InputFileError, match=r"has 2 layers with polygons \(old, new\)\. Expected"):
        AreaOfInterest.read(tmp_path / "area.gpkg", frame.crs)


def test_an_area_whose_edges_cross_is_the_ground_inside_them(tmp_path):
    import geopandas
    from shapely.geometry import Polygon

    bow_tie = Polygon([(0, 0), (8, 8), (8, 0), (0, 8)])  # the areas of its halves cancel
    frame = geopandas.GeoDataFrame(geometry=[bow_tie], crs="EPSG:32633")
    frame.to_file(tmp_path / "area.gpkg")
    grid = Grid(CRS.from_epsg(32633), Affine(1, 0, 0, 0, -1, 8), 8, 8)
    row, col = np.indices((8, 8)) - 3.5
    inside = AreaOfInterest.read(tmp_path / "area.gpkg", grid).mask(grid)
    np.testing.assert_array_equal(
        inside[abs(row) != abs(col)], (abs(col) > abs(row))[abs(row) != abs(col)]
    )


def test_minimum_mapping_unit(tmp_path, small_tiles):
    from rasterio.features import sieve

    image = image_of((300, 260))
    scene = write_scene(tmp_path / "s.tif", image)
    bundle = loose_bundle(tmp_path / "m", BlurMember(radius=1))
    predict(bundle, scene, tmp_path / "plain.tif", **SMALL)
    predict(bundle, scene, tmp_path / "sieved.tif", min_area_px=20, **SMALL)
    plain = ClassMap.open(tmp_path / "plain.tif").read_codes()[0].astype(np.uint8)
    found = ClassMap.open(tmp_path / "sieved.tif").read_codes()[0]
    whole = sieve(plain, 20)
    assert (found != plain).any()
    assert (found == whole).mean() > 0.999


def test_a_large_minimum_keeps_other_products_and_reads_no_farther_than_a_tile(
    tmp_path, small_tiles, monkeypatch
):
    monkeypatch.setattr(finishing, "FARTHEST_PX", 64)
    scene = write_scene(tmp_path / "s.tif", image_of((300, 260)))
    bundle = loose_bundle(tmp_path / "m", BlurMember(radius=1))
    for name, smallest in (("plain", 0), ("sieved", 5_000)):
        predict(
            bundle, scene, tmp_path / f"{name}.tif", uncertainty=tmp_path / f"{name}_u.tif",
            min_area_px=smallest, **SMALL,
        )  # fmt: skip
    plain, sieved = (read_all(tmp_path / f"{name}_u.tif")[0] for name in ("plain", "sieved"))
    np.testing.assert_array_equal(sieved, plain)
    codes = [ClassMap.open(tmp_path / f"{n}.tif").read_codes()[0] for n in ("plain", "sieved")]
    assert (codes[0] != codes[1]).any()


def test_imagery_is_read_as_in_training(tmp_path, small_tiles):
    image = image_of((80, 90))
    image[:, :, :30] = 0
    scene = write_scene(tmp_path / "s.tif", image)
    bundle = network_bundle(tmp_path / "m")
    told = replace(bundle, config=bundle.config.updated({"scene": {"nodata": "0"}}))
    predict(told, scene, tmp_path / "map.tif", **SMALL)
    _, mapped = ClassMap.open(tmp_path / "map.tif").read()
    assert not mapped[:, :30].any()
    assert mapped[:, 30:].all()
    with pytest.raises(RasterError, match=r"with \[scene\] nodata = '' and '0'"):
        predict([bundle, told], scene, tmp_path / "both.tif", **SMALL)


def test_settings_of_the_training_hold_unless_others_are_given(tmp_path, small_tiles):
    scene = write_scene(tmp_path / "s.tif", image_of((80, 90)))
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    exact = replace(bundle, config=bundle.config.updated({"prediction": {"encoding": "float32"}}))
    predict(exact, scene, tmp_path / "a.tif", probabilities=tmp_path / "p.tif", **SMALL)
    bytes_ = {"encoding": "uint8"} | SMALL
    predict(exact, scene, tmp_path / "b.tif", probabilities=tmp_path / "q.tif", **bytes_)
    kinds = []
    for name in "pq":
        with rasterio.open(tmp_path / f"{name}.tif") as dataset:
            kinds.append(dataset.dtypes[0])
    assert kinds == ["float32", "uint8"]


@pytest.mark.parametrize("augmentation", ["flip", "d4"])
def test_augmentation_leaves_a_symmetric_model_alone(tmp_path, small_tiles, augmentation):
    image, member = image_of((70, 100)), BlurMember()
    scene = write_scene(tmp_path / "s.tif", image)
    bundle = loose_bundle(tmp_path / "m", member)
    options = {"encoding": "float32", "batch_size": 1, **SMALL}
    predict(
        bundle,
        scene,
        tmp_path / "map.tif",
        probabilities=tmp_path / "p.tif",
        tta=augmentation,
        **options,
    )
    found, _ = read_all(tmp_path / "p.tif")
    np.testing.assert_allclose(found, one_shot(member, image), atol=1e-5)


def test_scales_are_the_mean_of_magnified_and_reduced_answers(tmp_path, small_tiles):
    from torch import from_numpy
    from torch.nn.functional import interpolate

    image, member = image_of((64, 64)), BlurMember()
    scene = write_scene(tmp_path / "s.tif", image)
    predict(
        loose_bundle(tmp_path / "m", member), scene, tmp_path / "map.tif", probabilities=tmp_path / "p.tif",
        tta="scales", encoding="float32", **SMALL,
    )  # fmt: skip

    def resampled(array, side):
        return interpolate(from_numpy(array)[None], (side, side), mode="bilinear")[0].numpy()

    answers = [resampled(one_shot(member, resampled(image, side)), 64) for side in (48, 64, 80)]
    np.testing.assert_allclose(read_all(tmp_path / "p.tif")[0], np.mean(answers, 0), atol=1e-5)


def test_scales_see_nothing_of_nodata(tmp_path, small_tiles):
    image, bundle = image_of((100, 90)), loose_bundle(tmp_path / "m", BlurMember(radius=0))
    valid = np.ones((100, 90), bool)
    valid[20:50, 30:70] = False
    found = []
    for nodata in (-9999.0, 3e30):
        scene = write_scene(tmp_path / "s.tif", image, nodata=nodata, valid=valid)
        options = {"tta": "scales", "encoding": "float32", **SMALL}
        predict(bundle, scene, tmp_path / "m.tif", probabilities=tmp_path / "p.tif", **options)
        found.append(read_all(tmp_path / "p.tif"))
    assert np.array_equal(found[0][1], valid)
    np.testing.assert_array_equal(found[0][0][:, valid], found[1][0][:, valid])
    np.testing.assert_allclose(found[0][0][:, valid].sum(axis=0), 1, atol=1e-4)


def maps_of_two_tilings(tmp_path, bundle):
    scene = write_scene(tmp_path / "s.tif", image_of((320, 352)))
    found = []
    for window in (128, 192):
        predict(
            bundle, scene, tmp_path / "map.tif", probabilities=tmp_path / "p.tif",
            encoding="float32", window_px=window, overlap_px=64,
        )  # fmt: skip
        found.append(read_all(tmp_path / "p.tif")[0])
    return found


def test_tilings_agree_where_the_overlap_holds_the_context(tmp_path, small_tiles):
    """The small network looks 32 pixels far: half the overlap, so no window is missed."""
    bundle = network_bundle(tmp_path / "m", architecture="fcn", margin=32)
    a, b = maps_of_two_tilings(tmp_path, bundle)
    assert np.abs(a - b).max() < 1e-4
    assert (a.argmax(axis=0) == b.argmax(axis=0)).mean() >= 0.9999


def test_tilings_nearly_agree_where_it_does_not(tmp_path, small_tiles):
    """A U-Net sees its whole window a little."""
    bundle = network_bundle(
        tmp_path / "m",
        architecture="unet",
        encoder_depth=3,
        decoder_channels=(32, 16, 8),
        sharpness=2,
    )
    a, b = maps_of_two_tilings(tmp_path, bundle)
    assert np.abs(a - b).mean() < 1e-2
    assert (a.argmax(axis=0) == b.argmax(axis=0)).mean() >= 0.99


def test_how_windows_are_grouped_leaves_no_seam(tmp_path, small_tiles, monkeypatch):
    bundle = network_bundle(tmp_path / "m")
    scene = write_scene(tmp_path / "s.tif", image_of((200, 300)))
    found = []
    for size in (1, 2**30):
        monkeypatch.setattr(predictor, "SUMS_BYTES", size)
        predict(
            bundle, scene, tmp_path / "map.tif", probabilities=tmp_path / "p.tif", encoding="float32",
            batch_size=1, **SMALL,
        )  # fmt: skip
        found.append(read_all(tmp_path / "p.tif")[0])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_more_than_255_classes(tmp_path, small_tiles):
    member = BlurMember(classes=300, radius=1)
    image = image_of((70, 70))
    scene = write_scene(tmp_path / "s.tif", image)
    bundle = loose_bundle(tmp_path / "m", member, classes=300)
    predict(bundle, scene, tmp_path / "map.tif", **SMALL)
    opened = ClassMap.open(tmp_path / "map.tif")
    assert opened.dtype == "uint16"
    assert np.array_equal(opened.read()[0], one_shot(member, image).argmax(axis=0))


def test_same_seed_same_bytes(tmp_path, small_tiles):
    bundle = network_bundle(tmp_path / "m")
    scene = write_scene(tmp_path / "s.tif", image_of((150, 150)))
    for name in ("a.tif", "b.tif"):
        predict(bundle.folder, scene, tmp_path / name, **SMALL)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_predict_array_equals_the_file(tmp_path, small_tiles):
    image, member = image_of((150, 170)), BlurMember()
    valid = np.ones(image.shape[1:], bool)
    valid[100:, 100:] = False
    scene = write_scene(tmp_path / "s.tif", image, nodata=-9, valid=valid)
    bundle = loose_bundle(tmp_path / "m", member)
    for model in (bundle, [bundle], [member]):
        found, there = predict_array(model, Scene.open(scene), **SMALL)
        assert np.array_equal(there, valid)
        np.testing.assert_allclose(
            found[:, valid], one_shot(member, image, valid)[:, valid], atol=1e-5
        )
        assert not found[:, ~valid].any()


def test_bands_are_found_by_name(tmp_path, small_tiles):
    image = image_of((70, 70), bands=3)
    bundle = network_bundle(tmp_path / "m", names=("red", "nir"))
    there = write_scene(tmp_path / "a.tif", image, names=("nir", "green", "red"))
    other = write_scene(tmp_path / "b.tif", image[[2, 0]], names=("red", "nir"))
    predict(bundle, there, tmp_path / "map_a.tif", **SMALL)
    predict(bundle, other, tmp_path / "map_b.tif", **SMALL)
    a, b = (ClassMap.open(tmp_path / name).read()[0] for name in ("map_a.tif", "map_b.tif"))
    assert np.array_equal(a, b)


def test_raster_without_the_models_bands_is_refused(tmp_path):
    bundle = network_bundle(tmp_path / "m", names=("red", "nir"))
    named = write_scene(
        tmp_path / "a.tif", image_of((70, 70), bands=3), names=("red", "green", "blue")
    )
    fewer = write_scene(tmp_path / "b.tif", image_of((70, 70), bands=1))
    with pytest.raises(RasterError, match="nir"):
        predict(bundle, named, tmp_path / "map.tif")
    with pytest.raises(RasterError, match="band"):
        predict(bundle, fewer, tmp_path / "map.tif")
    assert not (tmp_path / "map.tif").exists()


def test_truncated_input_names_the_window(tmp_path, small_tiles):
    image = image_of((200, 200))
    path = write_scene(
        tmp_path / "s.tif", image, tiled=True, blockxsize=64, blockysize=64, compress="deflate"
    )
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    with pytest.raises(InputFileError, match=r"rows \d+-\d+, columns \d+-\d+|cannot be opened"):
        predict(bundle, path, tmp_path / "map.tif", **SMALL)
    assert not (tmp_path / "map.tif").exists()


def test_bad_settings_by_their_words(tmp_path):
    scene = write_scene(tmp_path / "s.tif", image_of((64, 64)))
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    with pytest.raises(ConfigError, match="There is no setting 'window'"):
        predict(bundle, scene, tmp_path / "map.tif", window=64)
    with pytest.raises(ConfigError, match="Windows may share at most half their side"):
        predict(bundle, scene, tmp_path / "map.tif", window_px=64, overlap_px=40)
    with pytest.raises(OutputError, match="does not exist"):
        predict(bundle, scene, tmp_path / "none" / "map.tif")
    with pytest.raises(OutputError, match="named for two products"):
        predict(bundle, scene, tmp_path / "map.tif", probabilities=tmp_path / "map.tif")
    with pytest.raises(ConfigError, match=r"smallest patch is -3 pixels\. Expected 0"):
        predict(bundle, scene, tmp_path / "map.tif", min_area_px=-3)
    with pytest.raises(ConfigError, match="No model or no raster"):
        predict([], scene, tmp_path / "map.tif")
    with pytest.raises(InputFileError, match="does not exist"):
        predict(bundle, tmp_path / "absent.tif", tmp_path / "map.tif")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "s.tif"]


def test_another_resolution_is_warned_of(tmp_path, small_tiles):
    scene = write_scene(
        tmp_path / "s.tif", image_of((64, 64)), transform=Affine(2, 0, 5e5, 0, -2, 57e5)
    )
    with pytest.warns(
        UserWarning, match="pixels of 's.tif' are 2 m wide, those of the training 10 m"
    ):
        predict(loose_bundle(tmp_path / "m", BlurMember()), scene, tmp_path / "map.tif", **SMALL)


def test_progress_tells_speed_time_and_tiles(tmp_path, small_tiles):
    said = []
    scene = write_scene(tmp_path / "s.tif", image_of((300, 300)))
    bundle = loose_bundle(tmp_path / "m", BlurMember(radius=1))
    predict(bundle, scene, tmp_path / "map.tif", reporter=Reporter(Listener(said)), **SMALL)
    steps = [e for e in said if e.kind == "progress" and e.stage == "predict"]
    fractions = [e.fraction for e in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert "pixels_per_s" in steps[-1].data
    tiles = [e.data["tile_map"] for e in steps if "tile_map" in e.data]
    assert set("".join(tiles[-1])) == {"#"}
    assert "".join(tiles[0]).count("#") == 1


@pytest.mark.parametrize("name", ["scene.tif", "link/../scene.tif", "mosaic.vrt"])
def test_imagery_is_never_overwritten(tmp_path, small_tiles, name):
    scene = write_scene(tmp_path / "scene.tif", image_of((70, 70)))
    (tmp_path / "link").mkdir()
    before = scene.read_bytes()
    with rasterio.open(scene) as source, WarpedVRT(source) as virtual:
        rasterio.shutil.copy(virtual, tmp_path / "mosaic.vrt", driver="VRT")
    raster, output = (tmp_path / "mosaic.vrt" if "vrt" in name else scene), tmp_path / name
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    refused = r"is also a file that is read.*choose another name|ends in \.vrt"
    for outputs in ({"output": output}, {"output": tmp_path / "m.tif", "probabilities": scene}):
        with pytest.raises(OutputError, match=refused):
            predict(bundle, raster, **outputs, **SMALL)
    assert scene.read_bytes() == before
    assert not (tmp_path / "m.tif").exists()


@pytest.mark.parametrize("after", [1, 3, 8])
def test_cancel_leaves_nothing_that_looks_finished(tmp_path, small_tiles, after):
    listener = Listener([], cancel_after=after)
    listener.reporter = Reporter(listener)
    member = BlurMember()
    scene = write_scene(tmp_path / "s.tif", image_of((300, 300)))
    bundle = loose_bundle(tmp_path / "m", member)
    with pytest.raises(Cancelled):
        predict(bundle, scene, tmp_path / "map.tif", reporter=listener.reporter, **SMALL)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "map.tif.partial", "s.tif"]
    assert len(member.calls) <= after
