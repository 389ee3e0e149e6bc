"""One run at a time on one output."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from geopointseg.errors import OutputError
from geopointseg.raster.lock import hold_lock


def test_others_are_kept_out_and_told_who_holds_the_output(tmp_path: Path) -> None:
    path, output = tmp_path / "lock", tmp_path / "map.tif"
    with hold_lock(path, output):
        with pytest.raises(Timeout):
            FileLock(path, timeout=0).acquire()
        with (
            pytest.raises(OutputError, match=rf"writing '{output}' .* \(process {os.getpid()}\)"),
            hold_lock(path, output),
        ):
            pass
        assert path.read_bytes()[1:].decode().strip() == str(os.getpid())
    assert not path.exists()
    with FileLock(path, timeout=0), pytest.raises(OutputError), hold_lock(path, output):
        pass


def test_a_lock_file_that_a_crash_left_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b"\n99999999999999999999")
    with hold_lock(path, tmp_path / "map.tif"):
        assert path.read_bytes()[1:].decode().strip() == str(os.getpid())
    assert not path.exists()
