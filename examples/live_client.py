"""Click, and get the map of a view: a client of a live session.

The session is a process that speaks JSON lines; docs/live-protocol.md describes them. Replace the landscape by your own raster.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

import geopointseg as gps
from geopointseg.landscape import write_scene


class Live:
    """A session of `geopointseg live`."""

    def __init__(self, raster: Path) -> None:
        command = [sys.executable, "-m", "geopointseg", "live", "--raster", str(raster), "--quiet"]
        self.process = subprocess.Popen(command, stdin=-1, stdout=-1)  # noqa: S603 - our own command
        self.start, self.count = json.loads(self.process.stdout.readline()), 0

    def ask(self, do: str, **content: object) -> dict:
        """Send a request and return its last answer."""
        self.count += 1
        request = {"id": self.count, "do": do, **content}
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        while True:
            answer = json.loads(self.process.stdout.readline())
            if answer.get("id") == self.count and not answer.get("ok", True):
                raise RuntimeError(answer["error"])
            if answer.get("id") == self.count and "ok" in answer and answer.get("final", True):
                return answer


def main(folder: Path) -> dict[str, int]:
    """Write scene.tif and model/ into a folder; return the pixels of each class in the view."""
    folder.mkdir(parents=True, exist_ok=True)
    write_scene(gps.make_landscape(320, 384, seed=1), str(folder / "scene.tif"))
    live = Live(folder / "scene.tif")
    west, south, east, north = live.start["bounds"]
    for name, share in (("first", 0.25), ("second", 0.75)):  # two clicks already give a map
        live.ask("add", x=west + share * (east - west), y=(south + north) / 2, **{"class": name})
    picture = live.ask("view", bounds=live.start["bounds"], width=384, height=320)
    classes = np.load(picture["classes"])
    question = live.ask("next")
    print(f"Next, click at {question['x']:.1f}, {question['y']:.1f}: {question['reason']}")
    live.ask(
        "save", folder=str(folder / "model")
    )  # 'geopointseg predict' makes the whole map of it
    live.process.communicate(b'{"do": "quit"}\n')
    return {name: int((classes == k).sum()) for k, name in enumerate(picture["legend"])}


if __name__ == "__main__":
    print(main(Path("example_live")))
