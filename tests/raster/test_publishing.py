"""Files and their sidecars appear together or not at all, and whatever happens no old map gets a new style."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from geopointseg.errors import OutputError
from geopointseg.raster.folder_publishing import whole_folder
from geopointseg.raster.publishing import (
    hidden_beside,
    own_mark,
    require_ending,
    require_writable_folder,
    whole_file,
)

SET = ("map.qml", "map.tif", "map.tif.aux.xml")


def _fill(folder: Path, what: str) -> None:
    for name in SET:
        (folder / name).write_text(what)


def _write(folder: Path, what: str = "new") -> None:
    with whole_file(folder / "map.tif") as temporary:
        temporary.write_text(what)
        temporary.with_suffix(".qml").write_text(what)
        temporary.with_name(temporary.name + ".aux.xml").write_text(what)


def _contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in sorted(folder.iterdir())}


def _spy(monkeypatch, before, after=lambda: None) -> None:
    """Call something before and after each move of a file."""
    plain = Path.replace

    def replace(self: Path, target: Path) -> Path:
        before(self, target)
        found = plain(self, target)
        after()
        return found

    monkeypatch.setattr(Path, "replace", replace)


@pytest.mark.parametrize("old", [False, True])
def test_a_file_comes_with_its_sidecars(tmp_path, old) -> None:
    if old:
        _fill(tmp_path, "old")
    _write(tmp_path)
    assert _contents(tmp_path) == dict.fromkeys(SET, "new")


def test_no_sidecar_ever_stands_beside_a_map_that_it_was_not_written_for(
    tmp_path, monkeypatch
) -> None:
    _fill(tmp_path, "old")
    seen = []

    def look() -> None:
        seen.append({n: (tmp_path / n).read_text() for n in SET if (tmp_path / n).exists()})

    _spy(monkeypatch, lambda *_: None, look)
    _write(tmp_path)
    assert len(seen) == 5
    assert all("map.tif" in files and len(set(files.values())) == 1 for files in seen)


@pytest.mark.parametrize(
    ("old", "step"), [(False, k) for k in range(3)] + [(True, k) for k in range(5)]
)
def test_a_move_that_fails_leaves_what_was_there_before(tmp_path, monkeypatch, old, step) -> None:
    if old:
        _fill(tmp_path, "old")
    calls = iter(range(100))

    def fail(self: Path, _: Path) -> None:
        if next(calls) == step:
            raise OSError(errno.EIO, "Input/output error", str(self))

    _spy(monkeypatch, fail)
    with pytest.raises(OutputError, match=r"map\.tif' could not be written \(.*Input/output error"):
        _write(tmp_path)
    assert _contents(tmp_path) == (dict.fromkeys(SET, "old") if old else {})


@pytest.mark.parametrize("held", SET)
def test_a_file_that_another_program_holds_is_named_and_nothing_changes(
    tmp_path, monkeypatch, held
) -> None:
    """Windows refuses to move a file, and to replace it, while another program has it open."""
    _fill(tmp_path, "old")

    def refuse(self: Path, target: Path) -> None:
        if held in (self.name, target.name) and (tmp_path / held).read_text() == "old":
            raise PermissionError(errno.EACCES, "Access is denied", str(self), None, str(target))

    _spy(monkeypatch, refuse)
    with pytest.raises(OutputError) as refused:
        _write(tmp_path)
    assert str(refused.value) == (
        f"'{tmp_path / held}' cannot be replaced (Access is denied): another program may have it open. Close it there, "
        "in QGIS by removing the layer, and run again; the old files are unchanged."
    )
    monkeypatch.undo()
    assert _contents(tmp_path) == dict.fromkeys(SET, "old")


def test_a_file_that_is_held_is_told_before_the_work(tmp_path, monkeypatch) -> None:
    _fill(tmp_path, "old")

    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, "Access is denied", str(self), None, str(target))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match=r"map\.tif' cannot be replaced .*may have it open"):
        require_writable_folder(tmp_path / "map.tif")
    require_writable_folder(tmp_path / "new.tif")


def test_what_cannot_be_put_back_is_said(tmp_path, monkeypatch) -> None:
    _fill(tmp_path, "old")
    calls = iter(range(100))

    def fail(self: Path, _: Path) -> None:
        if next(calls) >= 2:
            raise OSError(errno.EROFS, "Read-only file system")

    _spy(monkeypatch, fail)
    with pytest.raises(OutputError, match=r"could not be put back: '.*map\.tif\.aux\.xml' is now"):
        _write(tmp_path)
    assert (tmp_path / "map.tif").read_text() == "old"
    assert sorted(p.read_text() for p in tmp_path.iterdir()) == ["old"] * 3


def test_sidecars_that_describe_the_old_pixels_leave_with_them(tmp_path) -> None:
    """Statistics, overviews and masks of an old raster are wrong for a new one; a style by hand is kept."""
    for name in ("u.tif", "u.tif.aux.xml", "u.tif.ovr", "u.tif.msk", "u.qml", "u.tifx"):
        (tmp_path / name).write_text("old")
    with whole_file(tmp_path / "u.tif") as temporary:
        temporary.write_text("new")
    assert _contents(tmp_path) == {"u.qml": "old", "u.tif": "new", "u.tifx": "old"}


def test_a_failed_write_leaves_nothing_of_its_own(tmp_path) -> None:
    with pytest.raises(ValueError, match="half way"), whole_file(tmp_path / "p.gpkg") as temporary:
        for ending in ("", "-journal", "-wal", ".aux.xml"):
            Path(f"{temporary}{ending}").write_text("half")
        raise ValueError("half way")
    assert list(tmp_path.iterdir()) == []


def test_journals_of_a_database_are_not_published(tmp_path) -> None:
    with whole_file(tmp_path / "p.gpkg") as temporary:
        temporary.write_text("whole")
        Path(f"{temporary}-journal").write_text("")
    assert [p.name for p in tmp_path.iterdir()] == ["p.gpkg"]


NAMES = (
    "plain", ".hidden", "no suffix", "a.b.tif", "Work!.tif", "a;b,c?.tif", "100% #1.tif", "-x.tif", "水.tif",
    " lead and trail .tif ", "line\nbreak.tif", "v1.of the map", "GPKG:x.tif", "$HOME*[1].tif", "x" * 251 + ".tif",
    "é" * 120 + ".tif",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_the_file_system_works(tmp_path, name) -> None:
    path = tmp_path / name
    for what in ("old", "new"):
        with whole_file(path, mark="run") as temporary:
            assert temporary.name.isascii()
            assert temporary.name.startswith(".")
            temporary.write_text(what)
            temporary.with_suffix(".qml").write_text(what)
    assert _contents(tmp_path) == {name: "new", path.with_suffix(".qml").name: "new"}


def test_a_sidecar_that_no_file_system_can_name_is_left_out(tmp_path) -> None:
    path = tmp_path / ("x" * 251 + ".tif")
    with whole_file(path) as temporary:
        temporary.write_text("new")
        temporary.with_name(temporary.name + ".aux.xml").write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_name_that_is_too_long_is_refused(tmp_path) -> None:
    with (
        pytest.raises(OutputError, match=r"is 260 bytes long. Expected at most 255, .* shorter"),
        whole_file(tmp_path / ("x" * 256 + ".tif")),
    ):
        pass


def test_names_beside_stay_short_enough_and_apart(tmp_path) -> None:
    assert hidden_beside(tmp_path / "model", ".lock").name == ".model.lock"
    long = [hidden_beside(tmp_path / ("x" * 250 + end), ".partial").name for end in "ab"]
    assert len(set(long)) == 2
    assert max(map(len, map(os.fsencode, long))) < 255


def _ended_process() -> int:
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    child.wait()
    return child.pid


LEFT = ("{}.partial.tif", "{}.partial.tif.aux.xml", "{}.partial.qml", "{}.old-0", "{}.old-1")


@pytest.mark.skipif(
    os.name != "posix", reason="other systems do not tell whether a process has ended"
)
@pytest.mark.parametrize("name", ["map.tif", "水.tif"])
def test_the_next_run_removes_what_a_killed_one_left_and_nothing_else(tmp_path, name) -> None:
    machine = own_mark().partition("-")[0]
    with whole_file(tmp_path / name) as temporary:
        temporary.write_text("map")
    stem = temporary.name.partition(own_mark())[0]
    marks = {
        "killed": f"{machine}-{_ended_process()}-0123abcd",
        "running": f"{machine}-{os.getppid()}-0123abcd",
        "elsewhere": f"{'0' * 6 if machine != '0' * 6 else '1' * 6}-{_ended_process()}-0123abcd",
    }
    for mark in marks.values():
        for pattern in LEFT:
            (tmp_path / f"{stem}{pattern.format(mark)}").write_text("left")
    (tmp_path / f".other.{marks['killed']}.partial.tif").write_text("of another output")
    with whole_file(tmp_path / name) as temporary:
        temporary.write_text("new map")
    kept = [f"{stem}{p.format(marks[who])}" for p in LEFT for who in ("running", "elsewhere")]
    expected = {name, f".other.{marks['killed']}.partial.tif", *kept}
    assert {p.name for p in tmp_path.iterdir()} == expected
    assert (tmp_path / name).read_text() == "new map"


@pytest.mark.skipif(
    os.name != "posix", reason="other systems do not tell whether a process has ended"
)
def test_the_only_copy_of_an_old_file_is_put_back(tmp_path) -> None:
    """A run that was killed between two moves, where the file system has no hard links."""
    machine = own_mark().partition("-")[0]
    (tmp_path / f".map.{machine}-{_ended_process()}-0123abcd.old-0").write_text("old map")
    with pytest.raises(ValueError, match="half way"), whole_file(tmp_path / "map.tif"):
        raise ValueError("half way")
    assert _contents(tmp_path) == {"map.tif": "old map"}


@pytest.mark.parametrize("is_new_there", [False, True])
def test_a_folder_whose_replacement_was_interrupted_is_whole(tmp_path, is_new_there) -> None:
    folder = tmp_path / "model"
    (tmp_path / ".model.old").mkdir()
    (tmp_path / ".model.old" / "what").write_text("old")
    if is_new_there:
        folder.mkdir()
        (folder / "what").write_text("new")
    with pytest.raises(ValueError, match="half way"), whole_folder(folder, Path.is_dir) as partial:
        partial.mkdir()
        raise ValueError("half way")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert (folder / "what").read_text() == ("new" if is_new_there else "old")


@pytest.mark.parametrize("name", ["map.jpg", "map.PNG", "map.tif.zip", "map.html", "map.gpkg"])
def test_a_raster_is_not_written_under_the_ending_of_another_format(name) -> None:
    with pytest.raises(
        OutputError, match=r"is written as GeoTIFF\. Expected a name that ends in \.tif"
    ):
        require_ending(Path(name), "GeoTIFF")


@pytest.mark.parametrize("name", ["map.tif", "map.TIFF", "map", "map.2024", "jpg"])
def test_any_other_ending_is_accepted(name) -> None:
    require_ending(Path(name), "GeoTIFF")
