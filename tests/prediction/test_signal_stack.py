"""A signal after OpenVINO was loaded is handled, also where registers take much room."""

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, mmap, os, signal, subprocess, sys
import numpy as np
import torch
from geopointseg.prediction.backend import build_engine
from geopointseg.prediction.signal_stack import SIGNAL_STACK_BYTES, signal_stack_bytes
from tests.prediction.conftest import network_bundle
from pathlib import Path

folder = Path(sys.argv[1])
member = network_bundle(folder, architecture="unet").members[0]
image = np.zeros((1, 2, 64, 64), np.float32)
engine = build_engine(member, "openvino", image)
handled = []
signal.signal(signal.SIGCHLD, lambda *_: handled.append(1))
torch.ones(256, 256, dtype=torch.bfloat16) @ torch.ones(256, 256, dtype=torch.bfloat16)
engine(image)
subprocess.run([sys.executable, "-c", ""], check=True)
assert handled
assert signal_stack_bytes() in (0,) or signal_stack_bytes() >= SIGNAL_STACK_BYTES, signal_stack_bytes()
"""


def test_a_signal_after_openvino_is_handled(tmp_path) -> None:
    pytest.importorskip("openvino")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "model")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
