"""Where a training writes: one at a time, and nothing of another one is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from geopointseg.errors import OutputError
from geopointseg.learning.model_output import OutputFolder
from geopointseg.raster.folder_publishing import publish_folder


def test_a_second_training_of_the_same_folder_is_refused_and_harms_nothing(tmp_path) -> None:
    first = OutputFolder(tmp_path / "model")
    first.open(resume=False)
    first.checkpoint.write_text("hours of work")
    code = (
        "from pathlib import Path; from geopointseg.learning.model_output import OutputFolder\n"
        f"OutputFolder(Path({str(tmp_path / 'model')!r})).open(resume=False)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert (
        f"Another run is writing '{tmp_path / 'model'}' at this moment (process {os.getpid()}). "
        "Only one run may write an output; wait for it to end or choose another output."
        in said.stderr
    )
    assert first.checkpoint.read_text() == "hours of work"
    with pytest.raises(OutputError, match="Another run is writing"):
        OutputFolder(tmp_path / "model").open(resume=True)
    assert first.checkpoint.exists()


def test_the_folder_is_free_again_when_a_training_ends(tmp_path) -> None:
    for _ in range(2):
        output_folder = OutputFolder(tmp_path / "model")
        output_folder.open(resume=False)
        output_folder.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_a_killed_training_left_does_not_matter(tmp_path) -> None:
    code = (
        "import os; from pathlib import Path; from geopointseg.learning.model_output import OutputFolder\n"
        f"held = OutputFolder(Path({str(tmp_path / 'model')!r})); held.open(resume=False); os._exit(9)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=False)
    assert said.returncode == 9
    assert (tmp_path / ".model.lock").exists()
    OutputFolder(tmp_path / "model").open(resume=False)


def test_a_folder_that_cannot_be_moved_into_place_leaves_the_older_one(
    tmp_path, monkeypatch
) -> None:
    folder, partial = tmp_path / "model", tmp_path / ".model.partial"
    for place, what in ((folder, "old"), (partial, "new")):
        place.mkdir()
        (place / "model.json").write_text(what)
    plain = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self == partial:
            raise PermissionError(13, "Access is denied", str(self), None, str(target))
        return plain(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError):
        publish_folder(partial, folder, is_ours=Path.is_dir)
    assert (folder / "model.json").read_text() == "old"
    monkeypatch.undo()
    publish_folder(partial, folder, is_ours=Path.is_dir)
    assert (folder / "model.json").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("name", ["m" * 255, "a;b! c", "\u6c34"])
def test_any_name_of_the_file_system_is_a_place_to_work(tmp_path, name) -> None:
    output_folder = OutputFolder(tmp_path / name, is_ours=Path.is_dir)
    output_folder.open(resume=False)
    output_folder.publish()
    assert [p.name for p in tmp_path.iterdir()] == [name]
