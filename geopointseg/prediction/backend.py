"""Inference backends: PyTorch, ONNX Runtime and OpenVINO, and the choice of the fastest one.

The fastest backend depends on the encoder and the CPU. Standard convolutions are fast in PyTorch; depthwise convolutions
are several times faster in the other backends. So `choose_backend` measures all on a few windows of the imagery.
"""

from __future__ import annotations

import importlib.util
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geopointseg.errors import MissingDependencyError
from geopointseg.model.bundle import ForestMember, Member, ModelBundle, NetworkMember, has_bfloat16
from geopointseg.model.member import BandedMember, Span, unwrap
from geopointseg.prediction.signal_stack import widen_signal_stack
from geopointseg.process import import_onnxruntime
from geopointseg.progress import Reporter

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Engine = Callable[[Image], Image]
"""A function from normalized windows to probabilities, both float32 ``(sample, channel, row, col)``."""

PARITY = 1e-3
"""Largest accepted difference between the probabilities of a backend and of PyTorch."""

MIN_SECONDS_TO_COMPARE = 30.0
"""PyTorch runs shorter than this, in seconds, are not compared with other backends."""

_PACKAGES = {"onnxruntime": ("onnxruntime", "onnx"), "openvino": ("openvino", "onnx")}
_WARM_UP, _REPEATS = 2, 3


class SoftmaxNetwork(nn.Module):
    """A network followed by a softmax, which all backends run.

    Parameters
    ----------
    network
        Returns logits.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return probabilities ``(sample, class, row, col)`` of a normalized image."""
        return torch.softmax(self.network(image).float(), dim=1)


@dataclass(frozen=True, repr=False)
class AcceleratedMember(NetworkMember):
    """A network member that a chosen backend runs.

    Parameters
    ----------
    backend
        ``torch``, ``torch-bf16``, ``onnxruntime`` or ``openvino``.
    """

    backend: str = "torch"
    _engines: dict[tuple[int, ...], Engine] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def probabilities(self, image: Image, valid: Mask, inside: Span | None = None) -> Image:
        """Return class probabilities of windows.

        Parameters
        ----------
        image
            float32 ``(sample, band, row, col)``, values as in the scene.
        valid
            bool ``(sample, row, col)``; True where there is an image.
        inside
            Rows and columns that are wanted; None for all.

        Returns
        -------
        ndarray
            float32 ``(sample, class, row, col)`` of the wanted pixels.
        """
        normalized = self.normalization.apply(image, valid)
        shape = normalized.shape[1:]
        with self._lock:
            if shape not in self._engines:
                self._engines[shape] = build_engine(self, self.backend, normalized[:1])
            engine = self._engines[shape]
        found = engine(normalized)
        return found if inside is None else found[..., *inside]


def accelerate(bundle: ModelBundle, backend: str) -> ModelBundle:
    """Return a model whose networks on the CPU are run by a backend; other members are unchanged.

    Raises
    ------
    MissingDependencyError
        If the backend is not installed.
    """
    require_backend(backend)
    members = tuple(_accelerated(member, backend) for member in bundle.members)
    return replace(bundle, members=members)


def _accelerated(member: Member, backend: str) -> Member:
    if isinstance(member, BandedMember):
        inner = _accelerated(member.inner, backend)
        return replace(member, inner=cast("ForestMember | NetworkMember", inner))
    if isinstance(member, NetworkMember) and member.device.type == "cpu":
        if backend == "torch" and member.is_fused:
            return member
        values = {one.name: getattr(member, one.name) for one in fields(NetworkMember)}
        return AcceleratedMember(**values, backend=backend)
    return member


def require_backend(backend: str) -> None:
    """Raise `MissingDependencyError` if a backend is not installed."""
    for package in _PACKAGES.get(backend, ()):
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(
                f"The backend '{backend}' was requested, but the package '{package}' is not installed. Expected it for "
                f"this backend; install it with: pip install 'geopointseg[{backend}]', or use `backend='torch'`."
            )


def available_backends() -> list[str]:
    """Return the backends that are installed and that this CPU supports, PyTorch first."""
    found = ["torch"]
    if has_bfloat16(torch.device("cpu")):
        found.append("torch-bf16")
    for name, packages in _PACKAGES.items():
        if all(importlib.util.find_spec(package) for package in packages):
            found.append(name)
    return found


def build_engine(member: NetworkMember, backend: str, example: Image) -> Engine:
    """Prepare a network for windows of the size of an example.

    Parameters
    ----------
    member
        The network.
    backend
        ``torch``, ``torch-bf16``, ``onnxruntime`` or ``openvino``.
    example
        Normalized float32 ``(1, band, row, col)``.

    Returns
    -------
    callable
        From normalized windows to probabilities.
    """
    if backend == "onnxruntime":
        return _onnxruntime_engine(member, example)
    if backend == "openvino":
        return _openvino_engine(member, example)
    return _torch_engine(member, example, bfloat16=backend == "torch-bf16")


def _torch_engine(member: NetworkMember, example: Image, *, bfloat16: bool) -> Engine:
    module = _frozen(SoftmaxNetwork(member.network).eval(), example)

    def run(image: Image) -> Image:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            batch = torch.from_numpy(image).contiguous(memory_format=torch.channels_last)
            return cast("Image", module(batch).float().contiguous().numpy())

    return run


def _frozen(module: nn.Module, example: Image) -> nn.Module:
    """Return the module with batch normalization folded into its convolutions, or unchanged if that fails."""
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batch = torch.from_numpy(example).contiguous(memory_format=torch.channels_last)
        compiler: Any = torch.jit
        try:
            frozen: nn.Module = compiler.freeze(compiler.trace(module, batch, check_trace=False))
            agrees = bool((frozen(batch) - module(batch)).abs().max() < PARITY)
        except Exception:  # noqa: BLE001 - tracing fails in many ways; the module itself always works
            return module
    return frozen if agrees else module


@contextmanager
def _onnx_file(member: NetworkMember, example: Image) -> Iterator[str]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        write_onnx(SoftmaxNetwork(member.network), example, path)
        yield str(path)


def _onnxruntime_engine(member: NetworkMember, example: Image) -> Engine:
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    with _onnx_file(member, example) as path:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(image: Image) -> Image:
        return cast("Image", session.run(None, {name: image})[0])

    return run


def _openvino_engine(member: NetworkMember, example: Image) -> Engine:
    import openvino as ov

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    with _onnx_file(member, example) as path:
        compiled = ov.Core().compile_model(path, "CPU", settings)
    widen_signal_stack()
    local = threading.local()

    def run(image: Image) -> Image:
        if not hasattr(local, "request"):
            local.request = compiled.create_infer_request()
        return np.array(local.request.infer([image])[0], dtype=np.float32)

    return run


def write_onnx(
    module: nn.Module, example: Image, path: Path, output: str = "probabilities"
) -> None:
    """Write a module as ONNX for windows of the size of an example, with any batch size.

    Parameters
    ----------
    module
        Takes and returns ``(sample, channel, row, col)``.
    example
        float32 ``(1, band, row, col)``.
    path
        File to write.
    output
        Name of the output.
    """
    batch = torch.from_numpy(np.repeat(example, 2, axis=0))
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), (batch,), str(path), dynamo=False, opset_version=17,
            input_names=["image"], output_names=[output],
            dynamic_axes={"image": {0: "batch"}, output: {0: "batch"}},
        )  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """Measurement of a backend.

    Parameters
    ----------
    backend
        Name of the backend.
    seconds
        Seconds per window.
    difference
        Largest difference of a probability from PyTorch.
    error
        Reason why the backend failed; empty where it did not.
    """

    backend: str
    seconds: float
    difference: float
    error: str = ""

    @property
    def agrees(self) -> bool:
        """Whether it ran, with the probabilities of PyTorch."""
        return not self.error and self.difference <= PARITY

    def __str__(self) -> str:
        if self.error:
            return f"{self.backend} failed ({self.error})"
        speed = f"{self.backend} {self.seconds:.3f} s per window"
        return speed if self.agrees else f"{speed} but a difference of {self.difference:.1g}"


def choose_backend(
    bundles: Sequence[ModelBundle], image: Image, valid: Mask, windows: int, reporter: Reporter
) -> str:
    """Measure all backends on some windows, and return the fastest one that agrees with PyTorch.

    Parameters
    ----------
    bundles
        The models.
    image, valid
        Some windows of the imagery, float32 ``(sample, band, row, col)`` and bool ``(sample, row, col)``.
    windows
        Number of windows of the whole run; short runs are not measured.
    reporter
        Gets the choice and its reason.

    Returns
    -------
    str
        Name of the backend.
    """
    torch_trial, reference = _try("torch", bundles, image, valid, None)
    if torch_trial.seconds * windows < MIN_SECONDS_TO_COMPARE:
        reporter.log(
            f"Backend: torch, because {windows} windows take about {torch_trial.seconds * windows:.0f} s with it, and to "
            "measure the other backends would take as long."
        )
        return "torch"
    trials = [torch_trial]
    for name in available_backends()[1:]:
        reporter.check_cancelled()
        trials.append(_try(name, bundles, image, valid, reference)[0])
    best = min((t for t in trials if t.agrees), key=lambda t: t.seconds)
    reporter.log(
        f"Backend: {best.backend}, the fastest that agrees with torch to {PARITY:g} "
        f"({'; '.join(map(str, trials))}).",
        backend=best.backend,
    )
    return best.backend


def _try(
    name: str,
    bundles: Sequence[ModelBundle],
    image: Image,
    valid: Mask,
    reference: Image | None,
) -> tuple[Trial, Image | None]:
    try:
        members = _network_members(accelerate(bundle, name) for bundle in bundles)
        for _ in range(_WARM_UP):
            answers = [member.probabilities(image, valid) for member in members]
        seconds = []
        for _ in range(_REPEATS):
            started = time.perf_counter()
            for member in members:
                member.probabilities(image, valid)
            seconds.append((time.perf_counter() - started) / len(image))
    except Exception as error:  # noqa: BLE001 - a backend that cannot run this network is left out, for any reason
        return Trial(
            name, float("inf"), float("inf"), f"{type(error).__name__}: {error}"[:120]
        ), None
    answer = np.stack(answers)
    difference = 0.0 if reference is None else float(np.abs(answer - reference).max())
    return Trial(name, min(seconds), difference), answer


def _network_members(bundles: Iterable[ModelBundle]) -> list[Member]:
    return [
        member
        for bundle in bundles
        for member in bundle.members
        if not isinstance(unwrap(member), ForestMember)
    ]
