"""Run a module in the user's own Python: the only file of the plugin that works outside QGIS.

``python child.py geopointseg train ...`` is ``python -m geopointseg train ...``; venv and pip are run
so too. Standard library and plain syntax only, so that a Python that is too old can still say so.
The child leads its own process group, so that nothing it starts outlives a hard stop, and it holds
its standard input as a lifeline: when QGIS closes it, or dies, the run is cancelled as by Ctrl-C.
"""

import _thread
import importlib.util
import json
import os
import re
import runpy
import signal
import sys
import threading
import time
from importlib import metadata
from pathlib import Path

NEEDS_PYTHON = (3, 12)
NEEDS_LIBRARY = (0, 1)
COMPUTING = ("train", "pretrain", "predict", "validate", "suggest", "study", "doctor")
GRACE_SECONDS = 20.0


def say(event, message):
    """Write one event in the form that the library itself writes."""
    sys.stderr.write(json.dumps({"event": event, "message": message}) + "\n")
    sys.stderr.flush()


def dotted(version):
    """Write a version the way people do."""
    return ".".join(map(str, version))


def library_version():
    """Return the version of the geopointseg installed here, or an empty string."""
    try:
        return metadata.version("geopointseg")
    except metadata.PackageNotFoundError:
        return ""


def problem(python, found, where):
    """Return why this interpreter cannot run geopointseg, or an empty string."""
    kind = "no_package" if not found else ""
    if found and tuple(map(int, re.findall(r"\d+", found)[:2])) < NEEDS_LIBRARY:
        kind = "library_too_old"
    if python < NEEDS_PYTHON:
        kind = "python_too_old"
    text = json.loads(Path(__file__).with_name("texts.json").read_text("utf-8"))["child"][kind] if kind else ""
    needs = {"needs_python": dotted(NEEDS_PYTHON), "needs_library": dotted(NEEDS_LIBRARY)}
    return text.format(where=where, found=found, **needs)


def device(arguments):
    """Name the processor that a run with these arguments computes on."""
    asked = arguments[arguments.index("--device") + 1] if "--device" in arguments else "auto"
    if asked == "cpu" or arguments[0] not in COMPUTING:
        return "cpu"
    if importlib.util.find_spec("torch") is None:
        return "unknown (torch is missing)"
    import torch

    return f"cuda ({torch.cuda.get_device_name()})" if torch.cuda.is_available() else "cpu"


def hold_lifeline():
    """Cancel this process when its standard input closes; end it hard if that does not help."""
    while os.read(0, 64):
        continue
    if os.name == "posix":
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        _thread.interrupt_main()
    time.sleep(GRACE_SECONDS)
    if os.name == "posix":
        os.killpg(0, signal.SIGKILL)
    os._exit(130)


def introduce(arguments):
    """Say in the first line what runs, or why nothing can."""
    found, python = library_version(), sys.version_info[:3]
    where = f"{sys.executable} (Python {dotted(python)})"
    reason = problem(python, found, f"The interpreter {where}")
    if reason:
        say("error", reason)
        sys.exit(1)
    say("log", f"geopointseg {found} in {where}, device {device(arguments)}")


def main():
    """Become ``python -m MODULE ARGUMENTS``."""
    if hasattr(os, "setsid"):
        os.setsid()
    if sys.argv[2:3] != ["live"]:  # that one reads its standard input itself, and ends with it
        threading.Thread(target=hold_lifeline, daemon=True).start()
    del sys.argv[0]
    if sys.argv[0] == "geopointseg":
        introduce(sys.argv[1:])
    else:
        os.dup2(2, 1)  # what pip prints is for the log
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
