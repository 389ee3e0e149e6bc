"""The source starts no shell, evaluates no text, and unpickles nothing."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "geopointseg").rglob("*.py")) + sorted((ROOT / "qgis_plugin").rglob("*.py"))
CALLS = {
    "eval", "exec", "compile", "os.system", "os.popen", "os.spawnl", "os.spawnv", "os.execv", "os.startfile", "pty.spawn",
    "subprocess.getoutput", "subprocess.getstatusoutput", "yaml.load", "marshal.loads", "marshal.load", "shelve.open",
    "joblib.load", "pd.read_pickle", "pandas.read_pickle", "np.fromregex", "ET.parse", "ET.fromstring", "ElementTree.parse",
    "ElementTree.fromstring", "zlib.decompress", "gzip.decompress", "bz2.decompress", "lzma.decompress", "tempfile.mktemp",
    "shutil.unpack_archive", "extractall", "torch.jit.load", "torch.hub.load", "__import__",
}  # fmt: skip
MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "yaml",
    "telnetlib",
    "ftplib",
}
ALLOWED = {
    ("markup.py", "ET.fromstring"),  # after a check for entities and depth
}


def found(path: Path) -> list[str]:
    """Return what a file must not contain."""
    faults = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
            )
            faults += [f"import {name}" for name in names if name.partition(".")[0] in MODULES]
        if not isinstance(node, ast.Call):
            continue
        name, options = ast.unparse(node.func), {k.arg: k.value for k in node.keywords}
        is_refused = name in CALLS or name.rpartition(".")[2] == "extractall"
        if is_refused and (path.name, name) not in ALLOWED:
            faults.append(f"{node.lineno}: {name}")
        if "shell" in options and ast.unparse(options["shell"]) != "False":
            faults.append(f"{node.lineno}: {name}(shell=...)")
        if (
            name == "torch.load"
            and ast.unparse(options.get("weights_only", ast.Constant(None))) != "True"
        ):
            faults.append(f"{node.lineno}: torch.load without weights_only")
        if ast.unparse(options.get("allow_pickle", ast.Constant(False))) != "False":
            faults.append(f"{node.lineno}: allow_pickle")
        is_program = name.startswith("subprocess.") or name.rpartition(".")[2] == "Popen"
        if is_program and node.args and isinstance(node.args[0], (ast.Constant, ast.JoinedStr)):
            faults.append(f"{node.lineno}: a command line in one text")
    return faults


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_text(path):
    assert found(path) == []


def test_the_search_finds_each_kind(tmp_path):
    lines = [
        "import pickle",
        "eval('1')",
        "subprocess.run('ls', shell=True)",
        "torch.load('a')",
        "np.load('a', allow_pickle=True)",
    ]
    for line in [
        *lines,
        "subprocess.run('ls')",
        "os.system('ls')",
        "archive.extractall()",
        "yaml.load('a')",
    ]:
        (tmp_path / "a.py").write_text(line)
        assert found(tmp_path / "a.py"), line


@pytest.mark.skipif(importlib.util.find_spec("bandit") is None, reason="bandit is not installed")
def test_bandit_finds_nothing_in_the_package():
    command = [
        sys.executable,
        "-m",
        "bandit",
        "-q",
        "-c",
        str(ROOT / "pyproject.toml"),
        "-r",
        str(ROOT / "geopointseg"),
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
