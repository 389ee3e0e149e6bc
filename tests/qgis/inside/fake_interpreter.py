"""Stands in for the user's Python: the name of its folder says how it behaves."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

MODE = Path(sys.argv[0]).parent.name
assert sys.argv[2] == "geopointseg"
ARGUMENTS = sys.argv[3:]


def say(**event):
    sys.stderr.write(json.dumps(event, ensure_ascii=False) + "\n")
    sys.stderr.flush()


def describe_points(path):
    """Return what a GeoPackage holds: layers, rows, the style beside it."""
    connection = sqlite3.connect(path)
    layers = [row[0] for row in connection.execute("select table_name from gpkg_contents")]
    crs = connection.execute("select srs_id from gpkg_contents").fetchone()[0]
    columns = [row[1] for row in connection.execute(f'pragma table_info("{layers[0]}")')]
    rows = [list(row) for row in connection.execute(f'select * from "{layers[0]}"')]
    connection.close()
    style = Path(path).with_suffix(".qml")
    return {
        "layers": layers,
        "crs": crs,
        "columns": columns,
        "rows": [[cell for cell in row if not isinstance(cell, bytes)] for row in rows],
        "style": style.read_text(encoding="utf-8") if style.exists() else "",
    }


def record():
    """Write down how this interpreter was called."""
    files = {
        path: describe_points(path)
        for path in ARGUMENTS
        if path.endswith(".gpkg") and Path(path).exists()
    }
    call = {
        "program": sys.argv[1],
        "arguments": ARGUMENTS,
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "points": files,
    }
    Path(sys.argv[0]).with_name("call.json").write_text(json.dumps(call), encoding="utf-8")
    with Path(sys.argv[0]).with_name("calls.txt").open("a", encoding="utf-8") as calls:
        calls.write(" ".join(ARGUMENTS[:2]) + "\n")


def write_outputs():
    """Write something under the name of the output."""
    if "--output" in ARGUMENTS:
        path = Path(ARGUMENTS[ARGUMENTS.index("--output") + 1])
        if path.suffix == ".tif" and "--raster" in ARGUMENTS:
            shutil.copy(ARGUMENTS[ARGUMENTS.index("--raster") + 1], path)
        elif path.suffix == ".gpkg":
            pass
        elif path.suffix:
            path.write_text("<html>done</html>", encoding="utf-8")
        else:
            path.mkdir(parents=True, exist_ok=True)


def succeed():
    say(event="log", message="geopointseg 9.9 in a fake")
    raw = json.dumps(
        {"event": "progress", "stage": "train", "fraction": 0.5, "message": "Hälfte"},
        ensure_ascii=False,
    )
    for byte in (raw + "\r\n").encode():
        sys.stderr.buffer.write(bytes([byte]))
        sys.stderr.buffer.flush()
    say(event="warning", message="Class 'water' has 3 points only.")
    sys.stderr.write('a plain line\n\n[1, 2]\n{"no": "event"}\n')
    write_outputs()
    print(json.dumps({"points": 6, "usable": True, "overall_accuracy": 0.75, "mean_f1": 0.5}))


def fail():
    say(event="error", message="Layer 'plots' has no CRS. Assign one.")
    sys.exit(1)


def fill_disk():
    say(event="error", message="The file cannot be written: [Errno 28] No space left on device.")
    sys.exit(1)


def misuse():
    sys.stderr.write("Usage: geopointseg train\n\nError: No such option: --colour\n")
    sys.exit(2)


def judge():
    """Fail as 'points check' does: with a result and without an error."""
    print(json.dumps({"points": 6, "usable": False}))
    sys.exit(1)


def flood():
    for number in range(60_000):
        say(event="progress", stage="train", fraction=number / 60_000, message="x" * 40)
        sys.stderr.write(f"noise {number}\n")
    sys.stderr.write("y" * 3_000_000)
    print(json.dumps({"points": 1, "padding": "z" * 3_000_000}))


def hang():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.setsid()
    subprocess.Popen([sys.executable, "-c", f"import time; time.sleep(600)  # {sys.argv[0]}"])
    say(event="log", message="hanging now")
    time.sleep(600)


def stop_politely():
    """End as the child does: when its standard input is closed."""
    say(event="log", message="working now")
    signal.alarm(60)
    sys.stdin.read()
    Path(sys.argv[0]).with_name("stopped").touch()
    sys.exit(130)


def die():
    say(event="log", message="about to die")
    os.kill(os.getpid(), signal.SIGKILL)


def babble():
    print("this is not JSON")


def be_silent():
    sys.exit(3)


record()
{
    "succeeds": succeed,
    "fails": fail,
    "full": fill_disk,
    "misused": misuse,
    "judges": judge,
    "floods": flood,
    "hangs": hang,
    "polite": stop_politely,
    "dies": die,
    "babbles": babble,
    "silent": be_silent,
}[MODE]()
