"""Outputs that cannot be written, or must not be."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.robustness.surface import OUTPUTS
from tests.robustness.trouble import Bench, trouble

FILES = {"tif", "gpkg", "html", "onnx", "png"}
FOLDERS = {"folder", "any folder"}
ANY = FILES | FOLDERS


def _new(bench: Bench, folder: Path | None = None) -> Path:
    return (folder or bench.folder) / bench.good.name


@trouble("missing", FILES)
def output_in_a_missing_folder(bench: Bench) -> Path:
    return _new(bench, bench.folder / "none")


@trouble("missing", ANY)
def output_below_a_file(bench: Bench) -> Path:
    return _new(bench, bench.put(b"", ".txt"))


@trouble("missing", ANY)
def output_without_name(bench: Bench) -> str:
    return ""


@trouble("wrong type", FILES)
def output_that_is_a_folder(bench: Bench) -> Path:
    _new(bench).mkdir()
    return _new(bench)


@trouble("wrong type", FOLDERS)
def output_that_is_a_file(bench: Bench) -> Path:
    _new(bench).write_bytes(b"kept")
    return _new(bench)


@trouble("wrong type", {"folder"})
def output_folder_of_other_things(bench: Bench) -> Path:
    _new(bench).mkdir()
    (_new(bench) / "notes.txt").write_text("kept")
    return _new(bench)


@trouble("wrong type", {"gpkg"})
def ending_of_another_format(bench: Bench) -> Path:
    return bench.folder / "out.shp"


@trouble("ending of another format", {"tif", "html", "onnx"})
def output_named_like_a_picture(bench: Bench) -> Path:
    return bench.folder / "out.jpg"


@trouble("very long names", ANY)
def output_name_of_300_bytes(bench: Bench) -> Path:
    return bench.folder / ("x" * 300 + bench.good.suffix)


@trouble("very long names", ANY)
def output_path_of_5000_bytes(bench: Bench) -> Path:
    return _new(bench, bench.folder.joinpath(*["y" * 200] * 25))


@trouble("no permission", ANY, needs="permissions")
def output_in_a_read_only_folder(bench: Bench) -> Path:
    closed = bench.folder / "closed"
    closed.mkdir()
    closed.chmod(0o500)
    bench.stack.callback(closed.chmod, 0o700)
    return _new(bench, closed)


@trouble("no permission", ANY, needs="permissions")
def output_in_a_closed_folder(bench: Bench) -> Path:
    closed = bench.folder / "closed"
    closed.mkdir()
    closed.chmod(0)
    bench.stack.callback(closed.chmod, 0o700)
    return _new(bench, closed)


@trouble("symbolic links", FILES, works=".")
def output_that_links_to_itself(bench: Bench) -> Path:
    _new(bench).symlink_to(_new(bench).name)
    return _new(bench)


@trouble("symbolic links", FILES)
def output_that_links_to_a_folder(bench: Bench) -> Path:
    (bench.folder / "inner").mkdir()
    _new(bench).symlink_to(bench.folder / "inner")
    return _new(bench)


@trouble("symbolic links", {"tif", "gpkg"}, works="suggest/")
def output_that_links_to_an_input(bench: Bench) -> Path:
    _new(bench).symlink_to(bench.copied_input())
    return _new(bench)


@trouble("wrong type", {"tif", "gpkg"})
def output_that_is_an_input(bench: Bench) -> Path:
    return bench.copied_input()


@trouble("special files", FILES)
def output_that_is_a_device(bench: Bench) -> Path:
    """A device of its own, because a run that is not refused replaces it."""
    try:
        os.mknod(_new(bench), stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except OSError:
        pytest.skip("a device file cannot be made here")
    return _new(bench)


@trouble("special files", ANY)
def output_that_is_a_pipe(bench: Bench) -> Path:
    os.mkfifo(_new(bench))
    return _new(bench)


@trouble("locked GeoPackage", {"gpkg"})
def output_that_is_open_elsewhere(bench: Bench) -> Path:
    shutil.copyfile(Path(os.environ["GOOD"]) / "points.gpkg", _new(bench))
    Path(f"{_new(bench)}-wal").write_bytes(b"")
    return _new(bench)


def _full(name: str, size: str, spare: int) -> None:
    def make(bench: Bench) -> Path:
        full = bench.folder / "full"
        full.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", full],
            check=False,
            capture_output=True,
        )
        if mounted.returncode:
            pytest.skip("a file system of its own cannot be mounted here")
        bench.stack.callback(subprocess.run, ["umount", full], check=True)
        with (full / "filler").open("wb", buffering=0) as filler:
            free = shutil.disk_usage(full).free - spare
            filler.write(bytes(max(free, 0)))
        return _new(bench, full)

    make.__name__ = name
    trouble("disk full", ANY)(make)


_full("full_disk", "64k", 0)
_full("disk_that_becomes_full", "64k", 4096)
assert set(OUTPUTS) == ANY
