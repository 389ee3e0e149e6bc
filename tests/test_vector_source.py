"""Vector files are opened whatever they are called, wherever they lie, and without a trace."""

from __future__ import annotations

import zipfile
from pathlib import Path

import geopandas as gpd
import pytest
import shapely

from geopointseg.errors import InputFileError, PointsError
from geopointseg.labels.layer import list_layers
from geopointseg.labels.points import read_points, write_points

NAMES = (
    "Work!", "a;b,c", "x=1?y", "100% #1", " lead", "trail ", "line\nbreak", "tab\tx", "-x", "GPKG:x", "http:x", "data.zip",
    "s.zip!in", "~", "a'b\"c", "[1]*", "vsizip", "\u6c34", "e\u0301", "x" * 240, "C:x", "{a}", "\udcff\udcfe",
)  # fmt: skip


def _save(path: Path, layer: str | None = None) -> Path:
    """Write three points under a plain name and give it all its parts of another name."""
    frame = gpd.GeoDataFrame(
        {"cover": ["a", "b", "\u00fc\u6c34"]},
        geometry=shapely.points([15, 15.1, 15.2], [51] * 3),
        crs=4326,
    )
    folder = path.parent / "plain"
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_file(folder / f"plain{path.suffix}", **({"layer": layer} if layer else {}))
    for part in folder.iterdir():
        part.replace(path.parent / (path.stem + part.name.removeprefix("plain")))
    folder.rmdir()
    return path


def _classes(path: Path, **options: str) -> list[str]:
    return read_points(path, **options).legend.names


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".geojson", ".fgb"])
@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_the_file_system_is_read(tmp_path, name, suffix) -> None:
    path = _save(tmp_path / f"{name}{suffix}")
    before = sorted(p.name for p in tmp_path.iterdir())
    assert _classes(path) == ["a", "b", "\u00fc\u6c34"]
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_the_file_system_is_written(tmp_path, name, monkeypatch) -> None:
    points = read_points(_save(tmp_path / "in.gpkg"))
    folder = tmp_path / name[:99]
    folder.mkdir()
    for _ in range(2):  # written, and replaced
        write_points(points, folder / f"{name}.gpkg")
    assert [p.name for p in folder.iterdir()] == [f"{name}.gpkg"]
    again = read_points(folder / f"{name}.gpkg")
    assert again.legend == points.legend
    assert again.x.tolist() == points.x.tolist()


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch) -> None:
    import pyogrio.raw

    points = read_points(_save(tmp_path / "in.gpkg"))
    plain = pyogrio.raw.write

    def fail(path: str, *args, **options) -> None:
        plain(path, *args, **options)
        Path(f"{path}-journal").write_bytes(b"open")
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(pyogrio.raw, "write", fail)
    (tmp_path / "out!").mkdir()
    with pytest.raises(OSError, match="could not be written"):
        write_points(points, tmp_path / "out!" / "a;b.gpkg")
    assert list((tmp_path / "out!").iterdir()) == []


@pytest.mark.parametrize("name", ["Work!", "a;b"])
def test_layers_that_are_called_like_the_file_are_found_by_its_name(tmp_path, name) -> None:
    path = _save(tmp_path / f"{name}.shp")
    assert list_layers(path) == [name]
    assert len(read_points(path, layer=name)) == 3
    with pytest.raises(PointsError, match=f"has no layer 'linked'. It has the layers {name};"):
        read_points(path, layer="linked")


class TestArchives:
    """Shapefiles as people receive them."""

    @pytest.fixture
    def parts(self, tmp_path) -> list[Path]:
        path = _save(tmp_path / "in" / "survey.shp")
        return list(path.parent.iterdir())

    def _pack(self, path: Path, parts: list[Path], *folders: str) -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            for part in parts:
                for folder in folders:
                    archive.write(part, folder + part.name)
        return path

    @pytest.mark.parametrize(
        "folders", [("",), ("Survey 2020/",), ("x!y;z/deep/",), ("a/", "__MACOSX/a/._")]
    )
    @pytest.mark.parametrize("name", ["s.zip", "S.ZIP", "a;b!.zip", "s.v2 (1).zip"])
    def test_the_only_layer_is_found_wherever_it_lies(self, tmp_path, parts, name, folders) -> None:
        path = self._pack(tmp_path / name, parts, *folders)
        assert _classes(path) == ["a", "b", "\u00fc\u6c34"]

    @pytest.mark.parametrize("name", ["s.shp.zip", "s.shz"])
    def test_forms_that_gdal_knows(self, tmp_path, parts, name) -> None:
        assert _classes(self._pack(tmp_path / name, parts, "")) == ["a", "b", "\u00fc\u6c34"]

    def test_layers_of_one_folder_are_asked_about(self, tmp_path, parts) -> None:
        other = [p.rename(p.with_name(p.name.replace("survey", "test"))) for p in parts]
        both = other + list(_save(tmp_path / "in" / "survey.shp").parent.iterdir())
        path = self._pack(tmp_path / "s.zip", sorted(set(both)), "in/")
        with pytest.raises(PointsError, match=r"holds 2 layers \((survey, test|test, survey)\)"):
            read_points(path)
        assert _classes(path, layer="test") == ["a", "b", "\u00fc\u6c34"]

    def test_layers_of_several_folders_are_refused(self, tmp_path, parts) -> None:
        path = self._pack(tmp_path / "s.zip", parts, "a/", "b/")
        with pytest.raises(PointsError, match=r"vector files a/survey\.shp, b/survey\.shp\. Expec"):
            read_points(path)

    def test_other_archives_are_refused(self, tmp_path) -> None:
        empty = self._pack(tmp_path / "empty.zip", [])
        with pytest.raises(InputFileError, match=r"empty\.zip' cannot be opened as a vector file"):
            read_points(empty)
        (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04")
        with pytest.raises(InputFileError, match=r"cut\.zip' cannot be opened as a zip archive"):
            read_points(tmp_path / "cut.zip")


@pytest.mark.parametrize(
    ("cpg", "stored"), [(None, "ISO-8859-1"), ("UTF-8", "UTF-8"), ("1252", "CP1252")]
)
def test_text_of_shapefiles_follows_the_cpg_file(tmp_path, cpg, stored) -> None:
    path = tmp_path / "e.shp"
    frame = gpd.GeoDataFrame({"c": ["\u00c4cker"]}, geometry=[shapely.Point(1, 2)], crs=32633)
    frame.to_file(path, encoding=stored)
    path.with_suffix(".cpg").unlink()
    if cpg:
        path.with_suffix(".cpg").write_text(cpg)
    assert _classes(path) == ["\u00c4cker"]


def test_text_in_another_encoding_than_stated_is_refused(tmp_path) -> None:
    path = tmp_path / "e.shp"
    frame = gpd.GeoDataFrame({"c": ["\u00c4cker"]}, geometry=[shapely.Point(1, 2)], crs=32633)
    frame.to_file(path, encoding="ISO-8859-1")
    path.with_suffix(".cpg").write_text("UTF-8")
    with pytest.raises(InputFileError, match=r"not in the encoding that the file states .*\.cpg"):
        read_points(path)
