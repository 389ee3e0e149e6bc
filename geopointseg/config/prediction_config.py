"""Settings of the prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from geopointseg.setting import setting
from geopointseg.summary import described


@described
@dataclass(frozen=True)
class PredictionConfig:
    """How maps are predicted."""

    window_px: int = setting(
        0,
        "Side of an inference window in pixels; 0 takes 512, or for models with more than 128 pixels of "
        "context at most 1664 x 1664 pixels in the best shape.",
        minimum=32,
        maximum=8192,
        automatic=0,
    )
    overlap_px: int = setting(
        -1,
        "Overlap of neighbouring windows in pixels; -1 takes twice the context of the model, at most a "
        "quarter of the window (576 pixels in the largest default windows).",
        minimum=-1,
    )
    batch_size: int = setting(
        0,
        "Windows in one forward pass; 0 takes one on a CPU and four on a GPU.",
        minimum=0,
        maximum=256,
    )
    tta: Literal["none", "flip", "d4", "scales"] = setting(
        "none",
        "Test-time augmentation: average over flips, over flips and rotations (d4), or over three scales.",
    )
    blend: Literal["hann", "gaussian", "crop"] = setting(
        "hann", "Weighting of overlapping windows."
    )
    backend: Literal["auto", "torch", "onnxruntime", "openvino"] = setting(
        "torch",
        "Inference backend; auto measures all and takes the fastest that agrees with torch.",
    )
    encoding: Literal["uint8", "float32"] = setting(
        "uint8", "Data type of probabilities and uncertainty: uint8 in steps of 0.004, or float32."
    )
