"""Pictures of matching: they are drawn, and show what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from geopointseg.errors import OutputError
from geopointseg.radiometry.histogram_matching import Matching, match_raster
from geopointseg.raster.scene import Scene
from geopointseg.report.radiometry_figures import draw_matching, picture_in_stretch, save_matching


def write(path: Path, image: np.ndarray) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", count=len(image), height=image.shape[1], width=image.shape[2], nodata=0,
        dtype=image.dtype, crs="EPSG:32633", transform=Affine(1, 0, 5e5, 0, -1, 5.7e6), photometric="MINISBLACK",
    ) as target:  # fmt: skip
        target.write(image)
    return path


@pytest.fixture
def matching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Matching:
    monkeypatch.setenv("GEOPOINTSEG_CACHE", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    reference = np.clip(generator.normal(150, 20, (4, 50, 60)), 1, 255).astype(np.uint8)
    source = np.clip(generator.normal(60, 10, (4, 50, 60)), 1, 255).astype(np.uint8)
    source[:, :10] = 0
    return match_raster(
        write(tmp_path / "s.tif", source), write(tmp_path / "r.tif", reference), tmp_path / "o.tif"
    )


def test_histograms_before_and_after_are_drawn(matching: Matching):
    figure = draw_matching(matching)
    top, bottom = figure.subfigs
    assert [a.get_title() for a in top.axes] == [
        "before: s.tif",
        "after: o.tif",
        "reference: r.tif",
    ]
    counts, shares = bottom.axes[:2]
    assert len(bottom.axes) == 8
    drawn = {patch.get_label(): patch.get_data() for patch in shares.patches}
    assert set(drawn) == {"before", "after", "reference"}
    for values, edges, _ in drawn.values():
        assert (values * np.diff(edges)).sum() == pytest.approx(1, abs=0.02)
    total = {patch.get_label(): patch.get_data().values.sum() for patch in counts.patches}
    assert total["before"] == pytest.approx(40 * 60, rel=0.02)
    assert "reference" not in total
    centre = {n: np.average((e[1:] + e[:-1]) / 2, weights=v) for n, (v, e, _) in drawn.items()}
    assert centre["after"] == pytest.approx(centre["reference"], abs=3)
    assert centre["before"] < centre["after"] - 50


def test_quick_looks_share_one_stretch(matching: Matching):
    assert matching.reference is not None
    before = picture_in_stretch(matching.source, [0, 1, 2], matching.reference)
    after = picture_in_stretch(Scene.open(matching.output), [0, 1, 2], matching.reference)
    shown = before[..., 3] > 0
    assert not before[:10, :, 3].any()
    assert before[shown][:, :3].mean() < 0.1
    assert after[shown][:, :3].mean() == pytest.approx(0.5, abs=0.1)


def test_the_figure_is_saved_whole_or_not_at_all(matching: Matching, tmp_path: Path):
    save_matching(matching, tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 10_000
    with pytest.raises(OutputError, match=r"Expected a picture file such as matching.png"):
        save_matching(matching, tmp_path / "f.nonsense")
    assert not list(tmp_path.glob("*nonsense*"))
