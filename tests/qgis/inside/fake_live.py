"""Stands in for the worker of Live: each pixel gets the class of the nearest point, as sure as that is near.

Beside it lie ``ready.json``, its first line, and ``requests.txt``, all that it was asked.
"""

import json
import os
import struct
import sys
import time
from pathlib import Path

HERE = Path(sys.argv[0]).parent
assert sys.argv[2:5] == ["geopointseg", "live", "--raster"], sys.argv
READY = json.loads((HERE / "ready.json").read_text(encoding="utf-8"))
LEGEND, POINTS = [], []


def tell(**answer):
    print(json.dumps(answer), flush=True)


def write_grid(name, rows):
    """Write rows of numbers as numpy does, by the standard library."""
    shape = (len(rows), len(rows[0]))
    header = repr({"descr": "|u1", "fortran_order": False, "shape": shape})
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    path = HERE / f"{os.getpid()}-{name}"
    path.write_bytes(data + b"".join(map(bytes, rows)))
    return str(path)


def used():
    """Return the points on the raster, and the problems of the others."""
    left, bottom, right, top = READY["bounds"]
    inside = [p for p in POINTS if left <= p["x"] <= right and bottom <= p["y"] <= top]
    outside = [p for p in POINTS if p not in inside]
    return inside, [{"point": p["point"], "error": "A point lies outside of the raster."} for p in outside]  # fmt: skip


def draw(number, bounds, width, height, confidence=False, final=True):
    left, bottom, right, top = bounds
    points, _ = used()
    names = [row["name"] for row in LEGEND]
    counts = {name: sum(p["class"] == name for p in points) for name in names}
    classes, sure = [], []
    for row in range(height):
        y = top - (row + 0.5) * (top - bottom) / height
        line, line_sure = [], []
        for col in range(width):
            x = left + (col + 0.5) * (right - left) / width
            far = sorted(((p["x"] - x) ** 2 + (p["y"] - y) ** 2, p["class"]) for p in points)
            known = sum(map(bool, counts.values())) > 1
            line.append(names.index(far[0][1]) if known else 255)
            line_sure.append(max(100 - int(far[0][0] ** 0.5 / 2), 0) if known else 255)
        classes.append(line)
        sure.append(line_sure)
    more = {"confidence": write_grid(f"{number}-sure.npy", sure)} if confidence else {}
    tell(
        id=number, ok=True, final=final, classes=write_grid(f"{number}-{final}.npy", classes), legend=names,
        counts=counts, weak=[n for n, c in counts.items() if c == 1], pixels_per_value=1.0, **more,
    )  # fmt: skip


def view(request):
    size = request["width"], request["height"]
    if max(size) > 1:
        draw(request["id"], request["bounds"], 4, 4, request["confidence"], final=False)
    draw(request["id"], request["bounds"], *size, request["confidence"])


def take(request):
    do, number = request["do"], request.get("id")
    if do == "classes":
        LEGEND[:] = request["legend"]
        tell(id=number, ok=True, legend=LEGEND, problems=[])
    elif do == "points":
        POINTS[:] = request["points"]
        points, problems = used()
        tell(id=number, ok=True, points=len(points), problems=problems)
        tell(
            event="accuracy", accuracy=0.714, standard_error=0.052, mean_f1=0.7, points=len(points), blocks=3,
            text="On ground held out",
        )  # fmt: skip
    elif do == "view" and (HERE / "broken").exists():
        tell(id=number, ok=False, error="The raster 'scene.tif' was removed while the session ran.")
    elif do == "view":
        view(request)
    elif do == "next":
        left, bottom, right, top = READY["bounds"]
        x, y = left + 0.7 * (right - left), top - 0.3 * len(POINTS) * (top - bottom)
        tell(
            id=number, ok=True, x=x, y=y, classes=["forest", "water"], kind="doubt",
            probabilities=[0.5, 0.4], reason="The two are nearly equal.",
        )  # fmt: skip
    elif do == "save":
        folder = Path(request["folder"])
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(json.dumps({"legend": LEGEND}), encoding="utf-8")
        tell(id=number, ok=True, folder=str(folder), members=["linear"])


tell(event="progress", stage="features", fraction=0.5, message="reading")
if (HERE / "slow").exists():
    time.sleep(3)
print("no JSON at all\n", flush=True)
tell(**READY, pid=os.getpid())
for text in sys.stdin:
    with (HERE / "requests.txt").open("a", encoding="utf-8") as requests:
        requests.write(text)
    take(json.loads(text))
(HERE / "ended").touch()
if (HERE / "deaf").exists():
    time.sleep(600)
