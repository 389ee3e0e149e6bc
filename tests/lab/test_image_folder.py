from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest
import rasterio
from affine import Affine

from geopointseg.errors import InputFileError, RasterError
from geopointseg.lab.color_palette import PALETTES
from geopointseg.lab.dense_mask import read_dense_mask
from geopointseg.lab.image_folder import find_pairs, georeference_pairs
from geopointseg.lab.point_simulation import simulate_points
from geopointseg.labels.sparse_mask import rasterize_points
from geopointseg.raster.scene import Scene


def write_picture(path, values, **profile):
    path.parent.mkdir(parents=True, exist_ok=True)
    driver = {"png": "PNG", "jpg": "JPEG", "tif": "GTiff"}[path.suffix[1:]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(
            path, "w", driver=driver, count=len(values), height=values.shape[1], width=values.shape[2],
            dtype=values.dtype, **profile,
        ) as dataset:  # fmt: skip
            dataset.write(values)


def picture(seed, bands=3):
    return np.random.default_rng(seed).integers(1, 255, (bands, 24, 32)).astype(np.uint8)


def labels(seed, low=0, high=6):
    return np.random.default_rng(seed).integers(low, high, (24, 32)).astype(np.uint8)


def colored(palette, seed):
    return np.moveaxis(PALETTES[palette].legend.rgb[labels(seed)], -1, 0)


def deepglobe(root):
    for split in ("train", "valid"):
        for number in (119, 2334):
            write_picture(root / split / f"{number}_sat.jpg", picture(number))
            write_picture(root / split / f"{number}_mask.png", colored("deepglobe", number))


def torchgeo_deepglobe(root):
    for split in ("training_data", "test_data"):
        for number in (119, 2334):
            write_picture(root / "data" / split / "images" / f"{number}_sat.jpg", picture(number))
            write_picture(
                root / "data" / split / "masks" / f"{number}_mask.png", colored("deepglobe", number)
            )


def loveda(root):
    for split in ("Train", "Val"):
        for number, scene in ((1366, "Urban"), (0, "Rural")):
            write_picture(root / split / scene / "images_png" / f"{number}.png", picture(number))
            write_picture(
                root / split / scene / "masks_png" / f"{number}.png", labels(number, 0, 8)[None]
            )


def potsdam(root):
    for name in ("top_potsdam_2_10", "top_potsdam_6_7"):
        write_picture(
            root / "4_Ortho_RGBIR" / f"{name}_RGBIR.tif", picture(2, 4), photometric="MINISBLACK"
        )
        write_picture(root / f"{name}_label.tif", colored("isprs", 3))


def vaihingen(root):
    for number in (1, 38):
        write_picture(root / "top" / f"top_mosaic_09cm_area{number}.tif", picture(number))
        write_picture(root / f"top_mosaic_09cm_area{number}.tif", colored("isprs", number))


def landcoverai(root):
    for number in range(3):
        write_picture(root / "output" / f"M-33-20-D-c-4-2_{number}.jpg", picture(number))
        write_picture(
            root / "output" / f"M-33-20-D-c-4-2_{number}_m.png", labels(number, 0, 5)[None]
        )
    (root / "train.txt").write_text("M-33-20-D-c-4-2_0\nM-33-20-D-c-4-2_2\n")


def chesapeake(root):
    place = {"crs": "EPSG:26918", "transform": Affine(1, 0, 4e5, 0, -1, 4.3e6)}
    write_picture(
        root / "de_tiles" / "m_3807511_ne_18_1_naip-new.tif",
        picture(0, 4),
        **place,
        photometric="MINISBLACK",
    )
    write_picture(root / "de_tiles" / "m_3807511_ne_18_1_lc.tif", labels(0, 1, 7)[None], **place)


@pytest.mark.parametrize(
    ("dataset", "build", "split", "names"),
    [
        ("deepglobe", deepglobe, "train", ["119", "2334"]),
        ("deepglobe", torchgeo_deepglobe, "test", ["119", "2334"]),
        ("loveda", loveda, "train", ["0", "1366"]),
        ("potsdam", potsdam, None, ["top_potsdam_2_10", "top_potsdam_6_7"]),
        ("vaihingen", vaihingen, None, ["top_mosaic_09cm_area1", "top_mosaic_09cm_area38"]),
        ("landcoverai", landcoverai, "train", ["M-33-20-D-c-4-2_0", "M-33-20-D-c-4-2_2"]),
        ("chesapeake", chesapeake, None, ["m_3807511_ne_18_1"]),
    ],
)
def test_known_data_sets_from_folder_to_points(tmp_path, dataset, build, split, names):
    build(tmp_path / "raw")
    pairs = find_pairs(tmp_path / "raw", dataset=dataset, split=split)
    assert [pair.name for pair in pairs] == names
    placed = georeference_pairs(pairs, tmp_path / "placed")
    points = simulate_points(placed, per_class=4)
    assert set(points.counts().tolist()) == {4}
    assert set(points.scene.tolist()) <= {f"{name}.tif" for name in names}
    on_scenes = 0
    for pair, original in zip(placed, pairs, strict=True):
        scene = Scene.open(pair.image)
        assert scene.grid == pair.grid
        mask = original.read_mask()
        np.testing.assert_array_equal(pair.read_mask().class_index, mask.class_index)
        sparse = rasterize_points(points, scene.grid)
        np.testing.assert_array_equal(
            sparse.legend.codes[sparse.class_index],
            mask.legend.codes[mask.class_index[sparse.row, sparse.col]],
        )
        on_scenes += len(sparse)
    assert on_scenes == len(points)


def test_images_keep_their_values_and_masks_get_names_and_colours(tmp_path):
    potsdam(tmp_path / "raw")
    placed = georeference_pairs(
        find_pairs(tmp_path / "raw", dataset="potsdam"), tmp_path / "placed"
    )
    with rasterio.open(placed[0].image) as dataset:
        np.testing.assert_array_equal(dataset.read(), picture(2, 4))
        assert dataset.crs is not None
        assert dataset.transform.a == 0.05
    assert len(Scene.open(placed[0].image).bands) == 4
    assert read_dense_mask(placed[0].mask).legend == PALETTES["isprs"].legend


def test_images_keep_masks_and_colour_tables(tmp_path):
    codes = np.arange(64, dtype=np.uint8).reshape(1, 8, 8) % 2
    table = {0: (255, 0, 0, 255), 1: (0, 0, 255, 255)}
    for name in ("veiled", "palette"):
        write_picture(tmp_path / "masks" / f"{name}.png", codes)
        write_picture(tmp_path / "images" / f"{name}.tif", codes)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(tmp_path / "images" / "veiled.tif", "r+") as target,
    ):
        target.write_mask(codes[0] > 0)
    with rasterio.open(tmp_path / "images" / "palette.tif", "r+") as target:
        target.write_colormap(1, table)
    pairs = find_pairs(tmp_path, images="images/*.tif", masks="masks/*.png")
    placed = {p.name: p.image for p in georeference_pairs(pairs, tmp_path / "placed")}
    np.testing.assert_array_equal(Scene.open(placed["veiled"]).read().valid, codes[0] > 0)
    with rasterio.open(placed["palette"]) as dataset:
        assert [dataset.colormap(1)[k] for k in (0, 1)] == list(table.values())


def test_assigned_places_do_not_overlap(tmp_path):
    deepglobe(tmp_path)
    grids = [pair.grid for pair in find_pairs(tmp_path, dataset="deepglobe")]
    edges = sorted((grid.bounds[0], grid.bounds[2]) for grid in grids)
    assert len(grids) == 4
    assert all(right < left for (_, right), (left, _) in pairwise(edges))


def test_georeference_of_the_image_is_kept(tmp_path):
    chesapeake(tmp_path)
    pair = find_pairs(tmp_path, dataset="chesapeake")[0]
    assert pair.grid.crs.to_epsg() == 26918
    assert pair.grid.transform == Affine(1, 0, 4e5, 0, -1, 4.3e6)


def test_own_folders_with_a_split_file_and_a_palette(tmp_path):
    for number in range(4):
        write_picture(tmp_path / "images" / f"tile-{number}.png", picture(number))
        write_picture(tmp_path / "masks" / f"tile-{number}_label.png", colored("isprs", number))
    (tmp_path / "mine.txt").write_text("tile-1.png\ntile-3.png\n")
    pairs = find_pairs(
        tmp_path, split_file=tmp_path / "mine.txt", palette="isprs", resolution_m=0.2
    )
    assert [pair.image.name for pair in pairs] == ["tile-1.png", "tile-3.png"]
    assert pairs[1].grid.resolution == (0.2, 0.2)
    np.testing.assert_array_equal(pairs[1].read_mask().class_index, labels(3))


def test_names_that_occur_twice_get_their_folders(tmp_path):
    for part in ("north", "south"):
        write_picture(tmp_path / part / "images" / "1.png", picture(1))
        write_picture(tmp_path / part / "masks" / "1.png", labels(ord(part[0]))[None])
    pairs = find_pairs(tmp_path, images="*/images/*", masks="*/masks/*")
    assert [pair.name for pair in pairs] == ["north_images_1", "south_images_1"]
    for pair in pairs:
        np.testing.assert_array_equal(
            read_dense_mask(pair.mask, grid=pair.grid).class_index, labels(ord(pair.name[0]))
        )


class TestRefusal:
    def test_missing_folder(self, tmp_path):
        with pytest.raises(InputFileError, match=r"The folder '.*no' does not exist"):
            find_pairs(tmp_path / "no")

    def test_nothing_there(self, tmp_path):
        with pytest.raises(
            InputFileError, match=r"no pictures like \*\*/\*_sat\.jpg in '.*'\. Expected images"
        ):
            find_pairs(tmp_path, dataset="deepglobe")

    def test_unknown_data_set(self, tmp_path):
        with pytest.raises(InputFileError, match=r"no data set 'lovdea' .* Did you mean 'loveda'"):
            find_pairs(tmp_path, dataset="lovdea")

    def test_image_without_mask(self, tmp_path):
        deepglobe(tmp_path)
        (tmp_path / "train" / "119_mask.png").unlink()
        (tmp_path / "valid" / "119_mask.png").unlink()
        with pytest.raises(
            InputFileError,
            match=r"2 of 4 images in '.*' have no mask, for example 'train/119_sat\.jpg'",
        ):
            find_pairs(tmp_path, dataset="deepglobe")

    def test_split_file_that_names_others(self, tmp_path):
        landcoverai(tmp_path)
        (tmp_path / "train.txt").write_text("elsewhere_7\n")
        with pytest.raises(
            InputFileError, match=r"names 1 images that are not there, for example 'elsewhere_7'"
        ):
            find_pairs(tmp_path, dataset="landcoverai", split="train")

    def test_missing_split_file(self, tmp_path):
        landcoverai(tmp_path)
        with pytest.raises(InputFileError, match=r"split file '.*no\.txt' does not exist"):
            find_pairs(tmp_path, dataset="landcoverai", split_file=tmp_path / "no.txt")

    def test_mask_of_another_size(self, tmp_path):
        write_picture(tmp_path / "images" / "1.png", picture(1))
        write_picture(tmp_path / "masks" / "1.png", labels(1)[None, :20])
        with pytest.raises(
            RasterError,
            match=r"has 32 x 20 pixels, its image '1\.png' 32 x 24\. Expected the same size",
        ):
            find_pairs(tmp_path)
