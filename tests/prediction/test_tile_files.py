"""Files of arrays: what is written is read, in whole and in part, and incomplete files do not count."""

from __future__ import annotations

import errno

import numpy as np
import pytest
from safetensors import SafetensorError

from geopointseg.errors import OutputError
from geopointseg.prediction import tile_files
from geopointseg.prediction.tile_files import ArrayFile, is_complete, write_arrays

ARRAYS = {
    "codes": np.arange(60, dtype=np.uint16).reshape(1, 6, 10),
    "sums": np.linspace(0, 1, 240, dtype=np.float32).reshape(4, 6, 10),
    "turned": np.arange(6, dtype=np.int64).reshape(2, 3).T,
    "none": np.zeros((4, 0, 10), np.float32),
}
PARTS = [(), (slice(None), slice(2, 4), slice(1, 9)), (slice(0, 1),), (slice(0, 0),)]


@pytest.fixture
def written(tmp_path):
    write_arrays(tmp_path / "tile", ARRAYS, {"3": "17", "class": "Wäld"})
    return tmp_path / "tile"


@pytest.mark.parametrize("where", PARTS)
@pytest.mark.parametrize("name", ["codes", "sums", "none"])
def test_parts(written, name, where):
    found = ArrayFile(written).read(name, *where)
    assert found.dtype == ARRAYS[name].dtype
    assert np.array_equal(found, ARRAYS[name][where])


def test_names_metadata_and_order_in_memory(written):
    file = ArrayFile(written)
    assert file.metadata == {"3": "17", "class": "Wäld"}
    assert "sums" in file
    assert "top" not in file
    assert np.array_equal(file.read("turned"), ARRAYS["turned"])
    assert [p.name for p in written.parent.iterdir()] == ["tile"]


def test_a_tile_without_arrays(tmp_path):
    write_arrays(tmp_path / "tile", {})
    assert is_complete(tmp_path / "tile")
    assert ArrayFile(tmp_path / "tile").metadata == {}


@pytest.mark.parametrize("kept", [0, 5, 50, -1])
def test_incomplete_files_do_not_count(written, kept):
    assert is_complete(written)
    written.write_bytes(written.read_bytes()[:kept])
    assert not is_complete(written)
    with pytest.raises(SafetensorError):
        ArrayFile(written)


def test_missing_files_do_not_count(tmp_path):
    assert not is_complete(tmp_path / "tile")


def test_other_users_may_read_as_they_may_read_other_files(written):
    plain = written.with_name("plain")
    plain.touch()
    assert written.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize(
    "report", ["I/O error: No space (os error {})", "IoError(Os {{ code: {}, kind: StorageFull }})"]
)
@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "The disk is full: '.*tile' could not be written"),
        (errno.EDQUOT, "The disk is full"),
        (errno.EACCES, "'.*tile' could not be written .*; check the disk and the permissions"),
    ],
)
def test_errors_of_the_disk(tmp_path, monkeypatch, report, number, sentence):
    def fail(*_, **__):
        raise SafetensorError(report.format(number))

    monkeypatch.setattr(tile_files, "save_file", fail)
    with pytest.raises(OutputError, match=sentence):
        write_arrays(tmp_path / "tile", ARRAYS)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_an_error_of_the_disk(tmp_path):
    with pytest.raises(OutputError, match="could not be written"):
        write_arrays(tmp_path / "gone" / "tile", ARRAYS)
