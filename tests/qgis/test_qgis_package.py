"""The plugin as a package: complete, small, free of heavy imports, ready for upload."""

from __future__ import annotations

import ast
import configparser
import html
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import tokenize
import zipfile
from pathlib import Path

import pytest

from qgis_plugin import build, child
from qgis_plugin.tasks import load_tasks

PLUGIN = Path(build.__file__).parent
SOURCES = sorted(PLUGIN.glob("*.py"))
REQUIRED = (
    "name", "qgisMinimumVersion", "qgisMaximumVersion", "description", "about", "version", "author", "email",
    "repository", "tracker", "hasProcessingProvider", "icon", "tags", "category", "license",
)  # fmt: skip


def code_lines(path: Path) -> int:
    """Count the lines of code of a file, without blank lines, comments and docstrings."""
    source = path.read_text(encoding="utf-8")
    skipped = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in skipped:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            text = node.body[0]
            lines.difference_update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return len(lines)


def test_it_is_thin() -> None:
    packed = [path for path in SOURCES if path.name != "build.py"]
    assert sum(map(code_lines, packed)) < 3000


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_it_runs_on_the_python_of_old_and_new_qgis(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    imported = {
        alias.name.partition(".")[0]
        for n in ast.walk(tree)
        if isinstance(n, ast.Import)
        for alias in n.names
    }
    imported |= {
        n.module.partition(".")[0]
        for n in ast.walk(tree)
        if isinstance(n, ast.ImportFrom) and n.level == 0
    }
    allowed = set(sys.stdlib_module_names) | {"qgis", "processing"}
    if path.name == "child.py":
        allowed = set(sys.stdlib_module_names) | {"torch"}
    assert imported <= allowed


def test_enums_are_scoped() -> None:
    members = re.compile(
        r"\b(Qt|QProcess|QNetworkProxy|QDockWidget|QFont|QgsProcessing|QgsProcessingParameter\w+|QgsFileWidget|"
        r"QgsMapLayerProxyModel|QgsColorRampShader|QgsRasterBandStats|QgsEditFormConfig)\.([A-Z]\w+)(?!\.|\w)"
    )
    names = {
        "ProxyType",
        "SourceType",
        "Type",
        "Stats",
        "ProcessState",
        "SaveVectorOptions",
        "Behavior",
        "ProcessError",
        "ExitStatus",
    }
    for path in SOURCES:
        for line in path.read_text(encoding="utf-8").splitlines():
            found = [
                m[2]
                for m in members.finditer(line)
                if m[2] not in names and not line.startswith(("from", "import"))
            ]
            assert not found, f"{path.name}: {line.strip()}"
        assert ".exec_(" not in path.read_text(encoding="utf-8")


def test_metadata_is_complete() -> None:
    parser = configparser.ConfigParser()
    parser.read(PLUGIN / "metadata.txt", encoding="utf-8")
    general = parser["general"]
    assert all(general.get(name) for name in REQUIRED)
    assert general["qgisMinimumVersion"] == "3.22"
    assert general["qgisMaximumVersion"] == "4.99"
    assert general["hasProcessingProvider"] == "yes"
    assert (PLUGIN / general["icon"]).exists()
    assert "GNU GENERAL PUBLIC LICENSE" in (PLUGIN / "LICENSE").read_text(encoding="utf-8")


def test_the_forms_say_what_the_library_says() -> None:
    pytest.importorskip("geopointseg.cli.command_reference")
    shipped = (PLUGIN / "reference.json").read_text(encoding="utf-8")
    assert shipped == build.reference_text(), "run: python -m qgis_plugin.build reference"


def test_defaults_of_settings_became_defaults() -> None:
    minutes = json.loads((PLUGIN / "reference.json").read_text(encoding="utf-8"))["commands"][
        "train"
    ]["options"]["--minutes"]
    assert isinstance(minutes["default"], float)
    assert "default" not in minutes["help"]


def test_the_library_is_new_enough_for_the_plugin() -> None:
    import geopointseg

    assert child.problem(sys.version_info[:3], geopointseg.__version__, "here") == ""


@pytest.mark.parametrize("path", sorted(PLUGIN.glob("i18n/*.ts")), ids=lambda path: path.stem)
def test_translations_are_up_to_date_and_finished(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    language = path.stem.rpartition("_")[2]
    assert text == build.translation_text(language, text), (
        "run: python -m qgis_plugin.build translations"
    )
    unfinished = {
        html.unescape(s) for s, state, _ in build.MESSAGE.findall(text) if "unfinished" in state
    }
    tasks = load_tasks().values()
    of_the_library = {t.help for t in tasks} | {p.help for t in tasks for p in t.parameters}
    assert not unfinished - of_the_library
    assert len(unfinished) <= 0.1 * len(of_the_library), (
        "too many help texts wait for a translation"
    )
    for source, _, translated in build.MESSAGE.findall(text):
        assert set(re.findall(r"{\w*}", source)) == set(re.findall(r"{\w*}", translated)), source


def test_every_text_of_the_windows_is_translated_under_the_same_name() -> None:
    for path in PLUGIN.glob("*.ui"):
        text = path.read_text(encoding="utf-8")
        assert "<class>geopointseg</class>" in text, path.name
        assert set(build.STRING.findall(text)) <= set(map(html.escape, build.source_texts()))


def test_a_second_language_is_there() -> None:
    assert (PLUGIN / "i18n" / "geopointseg_de.ts").exists()


def test_new_texts_wait_for_a_translation() -> None:
    fresh = build.translation_text("xx", "")
    assert fresh.count("<message>") == len(build.source_texts())
    assert fresh.count('type="unfinished"') == len(build.source_texts())
    assert {task.label for task in load_tasks().values()} <= set(build.source_texts())


def test_translations_compile(tmp_path: Path) -> None:
    if shutil.which("lrelease") is None:
        pytest.skip("Qt's lrelease is not installed")
    for path in PLUGIN.glob("i18n/*.ts"):
        target = tmp_path / f"{path.stem}.qm"
        done = subprocess.run(
            ["lrelease", str(path), "-qm", str(target)], capture_output=True, text=True, check=False
        )
        if "could not find a Qt installation" in done.stderr:
            pytest.skip("lrelease is there without Qt's tools")
        assert done.returncode == 0, done.stderr
        assert target.stat().st_size > 1000


def test_the_zip_is_what_qgis_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wheel = tmp_path / "dist" / "geopointseg-0.1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"wheel")
    build.main("zip", "https://example.org/project", "people@example.org")
    with zipfile.ZipFile(tmp_path / "dist" / "geopointseg_qgis.zip") as archive:
        names = archive.namelist()
        metadata = archive.read("geopointseg_qgis/metadata.txt").decode()
    assert len(names) == len(set(names))
    assert "geopointseg_qgis/build.py" not in names
    assert f"geopointseg_qgis/{wheel.name}" in names
    addresses = dict(line.split("=", 1) for line in metadata.splitlines() if "=" in line)
    assert addresses["repository"] == "https://example.org/project"
    assert addresses["tracker"] == "https://example.org/project/issues"
    assert addresses["email"] == "people@example.org"
    assert "homepage" not in addresses
    assert {name.partition("/")[0] for name in names} == {"geopointseg_qgis"}
    expected = (
        "__init__.py",
        "metadata.txt",
        "LICENSE",
        "icon.svg",
        "child.py",
        "algorithms.json",
        "panel.json",
        "setup_page.ui",
        "panel.ui",
        "panel_new.ui",
        "panel_form.ui",
        "panel_question.ui",
        "reference.json",
    )
    assert {f"geopointseg_qgis/{name}" for name in expected} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.endswith((".ts", ".toml"))]


def test_bandit_finds_nothing() -> None:
    if importlib.util.find_spec("bandit") is None:
        pytest.skip("Bandit is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "bandit", "-q", "-r", str(PLUGIN)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert not re.search(
        r"#\s*nosec", "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    )


def test_detect_secrets_finds_nothing() -> None:
    if importlib.util.find_spec("detect_secrets") is None:
        pytest.skip("detect-secrets is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "detect_secrets", "scan", "--all-files", "--exclude-files", "_cache", str(PLUGIN)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"] == {}
