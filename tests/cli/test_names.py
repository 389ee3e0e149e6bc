"""The whole way from points to a report with names that people give to files."""

from __future__ import annotations

from pathlib import Path

import pytest

from geopointseg.cli import app as cli_app
from geopointseg.labels.points import write_points
from geopointseg.landscape import draw_points, make_landscape, write_scene

LANDSCAPE = make_landscape(80, 90, seed=3)


@pytest.mark.parametrize("name", ["Work!", "a;b#c? [1]", "x" * 248])
def test_every_command_takes_and_writes_any_name(tmp_path, monkeypatch, capsys, name) -> None:
    folder = tmp_path / "in! out;"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_scene(LANDSCAPE, str(folder / f"s{name}.tif"))
    write_points(draw_points(LANDSCAPE, 12, seed=1), f"p{name}.gpkg")
    write_points(draw_points(LANDSCAPE, 12, seed=2), f"t{name}.gpkg")

    def run(*arguments: str) -> None:
        with pytest.raises(SystemExit) as stopped:
            cli_app.main([*arguments, "--progress", "none"])
        assert stopped.value.code == 0, capsys.readouterr().err

    run("points", "rasterize", f"p{name}.gpkg", "--raster", f"s{name}.tif", "-o", f"m{name}.tif")
    split = ("--block-size-m", "100", "--test-fraction", "0.3")
    run("points", "split", f"p{name}.gpkg", "-o", f"o{name}.gpkg", *split)
    run("train", f"s{name}.tif", "--points", f"p{name}.gpkg", "-o", f"d{name}", "--model", "forest")
    run("predict", f"d{name}", "--raster", f"s{name}.tif", "-o", f"c{name}.tif")
    run("assess", f"c{name}.tif", "--points", f"t{name}.gpkg", "-o", f"r{name}.htm", "--force")
    suggest = ("--count", "3", "--min-distance-m", "2")
    run("suggest", f"d{name}", "--raster", f"s{name}.tif", "-o", f"n{name}.gpkg", *suggest)
    left = {Path(p).name for p in folder.iterdir()}
    assert {f"c{name}.tif", f"c{name}.qml", f"r{name}.htm", f"n{name}.gpkg"} <= left
    assert not [p for p in left if p.startswith(".") or "partial" in p or "lock" in p]
