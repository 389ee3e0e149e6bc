"""A client of a live session in 40 lines: click, and get the map of a view. Usage: live_client.py SCENE.tif MODEL_DIR"""

import json
import subprocess
import sys

import numpy as np


class Live:
    """A session of `geopointseg live`; docs/live-protocol.md describes the messages."""

    def __init__(self, raster: str) -> None:
        command = [sys.executable, "-m", "geopointseg", "live", "--raster", raster, "--quiet"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.start = json.loads(self.process.stdout.readline())
        self.count = 0

    def ask(self, do: str, **content: object) -> dict:
        """Send a request and return its last answer."""
        self.count += 1
        request = {"id": self.count, "do": do, **content}
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            answer = json.loads(line)
            is_last = answer.get("id") == self.count and "ok" in answer and answer.get("final", True)
            if is_last and not answer["ok"]:
                raise RuntimeError(answer["error"])
            if is_last:
                return answer
        raise RuntimeError("The session has ended.")


if __name__ == "__main__":
    live = Live(sys.argv[1])
    west, south, east, north = live.start["bounds"]
    for name, share in (("first", 0.25), ("second", 0.75)):  # two clicks already give a map
        live.ask("add", x=west + share * (east - west), y=(south + north) / 2, **{"class": name})
    picture = live.ask("view", bounds=live.start["bounds"], width=1024, height=704)
    classes = np.load(picture["classes"])
    print({name: int((classes == k).sum()) for k, name in enumerate(picture["legend"])})
    print("Next:", live.ask("next")["reason"])
    print("Saved:", live.ask("save", folder=sys.argv[2])["folder"])
    live.process.communicate(b'{"do": "quit"}\n')
