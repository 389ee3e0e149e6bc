"""Every script of the gallery runs as it stands, in a small version."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, folder, **options):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](folder, **options)


def test_points_to_mask(tmp_path):
    assert run("points_to_mask", tmp_path).counts().tolist() == [12] * 8
    assert (tmp_path / "mask.tif").exists()


def test_own_torchgeo_loop(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    losses = runpy.run_path(str(EXAMPLES / "gallery" / "plot_14_torchgeo_loop.py"))["losses"]
    assert len(losses) == 60
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


@pytest.mark.slow
def test_train_and_predict(tmp_path):
    assert run("train_and_predict", tmp_path, minutes=0.1).exists()


def test_assess_and_report(tmp_path):
    assessed = run("assess_and_report", tmp_path, count=300)
    assert 0.75 < assessed.overall_accuracy < 0.95
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_suggest_points(tmp_path):
    suggested = run("suggest_points", tmp_path, count=6, trees=20)
    assert len(suggested) == 6
    assert (tmp_path / "suggested.gpkg").exists()


def test_published_dataset(tmp_path):
    points = run("published_dataset", tmp_path, per_class=20)
    assert points.legend.names == ["urban", "agriculture", "rangeland", "forest", "water"]
    assert points.counts().tolist() == [20] * 5
    assert (tmp_path / "model" / "model.json").exists()


def test_live_client(tmp_path):
    counts = run("live_client", tmp_path)
    assert set(counts) == {"first", "second"}
    assert sum(counts.values()) > 0.5 * 320 * 384
    assert (tmp_path / "model" / "model.json").exists()


def test_the_gallery_names_every_script():
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for script in [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.ipynb")]:
        assert f"`{script.name}`" in listed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said", "figures"),
    [
        ("whole_story", "overall accuracy", 1),
        ("live_session", "100.00% of the pixels agree with the live picture", 5),
    ],
)
def test_the_notebooks_run_from_top_to_bottom(monkeypatch, name, said, figures):
    import nbclient
    import nbformat

    monkeypatch.setenv("STORY_MINUTES", "0.1")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    place = {"metadata": {"path": str(EXAMPLES)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert said in "".join(output.get("text", "") for output in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == figures
