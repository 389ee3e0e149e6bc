"""Model folders from strangers: no code, no files elsewhere, and no memory beyond what their files have."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import resource
import socket
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from geopointseg.config import Config, ForestConfig
from geopointseg.errors import GeopointsegError, InputFileError, ModelError, TrainingError
from geopointseg.learning.model_output import OutputFolder
from geopointseg.learning.trainer import read_checkpoint
from geopointseg.legend import Legend
from geopointseg.model.architecture import build_network
from geopointseg.model.bundle import ModelBundle
from geopointseg.model.embedding_heads import NEAREST, build_embedding_head
from geopointseg.model.forest import Forest
from geopointseg.model.member import ForestMember, NetworkMember, Normalization
from geopointseg.model.weight_sources import find_weights
from geopointseg.radiometry.picture_style import PictureStyle
from geopointseg.report.provenance import ModelProvenance

UNET = {
    "architecture": "unet",
    "encoder": "resnet18",
    "encoder_depth": 3,
    "decoder_channels": [16, 8, 8],
    "norm": "batch",
}
KNN = {"architecture": NEAREST, "encoder": "", "count": 7, "neighbours": 5}
HUGE = 10**12
MEMORY_BYTES = 600_000_000


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    norm = Normalization(np.array([5.0, 1.0]), np.array([2.0, 0.5]))
    image = np.random.default_rng(0).normal(5, 2, (2, 24, 24)).astype(np.float32)
    valid = np.ones((24, 24), bool)
    rows, cols, index = np.arange(20), np.arange(20), np.arange(20) % 3
    pixels = [(rows, cols, index, np.ones(20))]
    forest = Forest.fit(
        [(image, valid)], pixels, classes=3, config=ForestConfig(features="pixel", trees=10)
    )
    members = (
        NetworkMember(
            build_network(bands=2, classes=3, **UNET).eval(),
            norm,
            16,
            0.5,
            UNET,
            torch.device("cpu"),
        ),
        NetworkMember(
            build_embedding_head(2, 3, KNN), norm, 0, 0.25, KNN, torch.device("cpu"), "knn"
        ),
        ForestMember(forest, 0.25),
    )
    folder = tmp_path_factory.mktemp("models") / "sound"
    legend = Legend.from_names(["a", "b", "c"])
    scores = {"how": "held out", "network": {"overall_accuracy": 0.9, "mean_f1": 0.8}}
    told = {"seed": 3, "scores": scores, "points": {"per_class": {"a": 12}}, "scenes": []}
    bundle = ModelBundle(
        folder, legend, ("red", "nir"), norm, 1.0, 32, 33, Config(), members, metadata=told
    )
    bundle.save(folder)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    copied = tmp_path / "model"
    copied.mkdir()
    for file in sound.iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    return copied


def rewrite(folder: Path, change) -> None:
    path = folder / "model.json"
    description = json.loads(path.read_text())
    change(description)
    weights = (folder / "model.safetensors").read_bytes()
    description["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    path.write_text(json.dumps(description))


def set_at(*keys):
    *where, value = keys

    def change(description):
        target = description
        for key in where[:-1]:
            target = target[key]
        target[where[-1]] = value

    return change


RELIABILITY = {
    "expected_calibration_error": 0.1, "edges": [0.0, 0.5, 1.0], "count": [0, 2], "confidence": [None, 0.8],
    "accuracy": [None, 0.5], "low": [None, 0.1], "high": [None, 0.9],
}  # fmt: skip
CLAIMS = {
    "classes": set_at("legend", [{"code": k, "name": f"c{k}", "color": "#000000"} for k in range(70_000)]),
    "some-classes": set_at("legend", [{"code": k, "name": f"c{k}", "color": "#000000"} for k in range(1000)]),
    "bands": set_at("bands", ["b"] * 70_000),
    "some-bands": lambda d: d.update(bands=["b"] * 4000, normalization={"mean": [0.0] * 4000, "std": [1.0] * 4000}),
    "members": lambda d: d.update(members=[copy.deepcopy(d["members"][0]) for _ in range(1000)]),
    "name": set_at("legend", 0, "name", "x" * 10**6),
    "margin": set_at("members", 0, "margin_px", HUGE),
    "negative-margin": set_at("members", 0, "margin_px", -5),
    "chip": set_at("chip_size", HUGE),
    "context": set_at("receptive_field_px", HUGE),
    "radius": set_at("members", 2, "forest", "smoothing_radius_px", HUGE),
    "scales": set_at("members", 2, "forest", "scales", [1.0, 1e9]),
    "many-scales": set_at("members", 2, "forest", "scales", [1.0] * 10_000),
    "features": set_at("members", 2, "forest", "features", HUGE),
    "neighbours": set_at("members", 1, "architecture", "count", HUGE),
    "some-neighbours": set_at("members", 1, "architecture", "count", 2**20 - 1),
    "depth": set_at("members", 0, "architecture", "encoder_depth", HUGE),
    "widths": set_at("members", 0, "architecture", "decoder_channels", [8192, 8192, 8192]),
    "huge-widths": set_at("members", 0, "architecture", "decoder_channels", [HUGE, 8, 8]),
    "encoder": set_at("members", 0, "architecture", "encoder", "tu-vit_giant_patch14_clip_224"),
    "linear": set_at("members", 0, "architecture", {"architecture": "linear", "encoder": "tu-resnet152", "encoder_depth": 9}),
    "temperature": set_at("temperature", 0),
    "infinite-temperature": set_at("temperature", float("inf")),
    "not-a-number": set_at("temperature", float("nan")),
    "text": set_at("temperature", "1.0"),
    "band-range": set_at("members", 0, "bands", [0, HUGE]),
    "reversed-bands": set_at("members", 0, "bands", [2, 0]),
    "zero-deviation": set_at("normalization", "std", [0.0, 1.0]),
    "no-members": set_at("members", []),
    "unknown-member": set_at("members", 0, "kind", "os.system"),
    "member-text": set_at("members", ["network"]),
    "members-object": set_at("members", {"kind": "network"}),
    "config": set_at("config", [1]),
    "config-value": set_at("config", "sampling", "chip_size", HUGE),
    "code": set_at("legend", 0, "code", HUGE**40),
    "big-number": lambda d: d.update(resolution_m=10**400),
    "fraction-code": set_at("legend", 0, "code", 1.5),
    "fraction-radius": set_at("members", 2, "forest", "smoothing_radius_px", 0.5),
    "fraction-version": set_at("format_version", 0.5),
    "member-weights": set_at("members", 0, "weight", 0.0),
    "three-ends": set_at("members", 0, "bands", [0, 1, 2]),
    "scores": set_at("scores", -1),
    "scores-text": set_at("scores", "network", "loss", "0.5"),
    "scores-nan": set_at("scores", "network", "loss", float("nan")),
    "scores-huge": set_at("scores", "network", "mean_f1", 10**400),
    "calibration": set_at("calibration", {"before": {"count": -1}}),
    "calibration-half": set_at("calibration", {"before": RELIABILITY}),
    "calibration-bins": set_at("calibration", {"before": RELIABILITY | {"confidence": []}, "after": RELIABILITY}),
    "calibration-count": set_at("calibration", {"before": RELIABILITY, "after": RELIABILITY | {"count": [-1, 2]}}),
    "calibration-share": set_at("calibration", {"before": RELIABILITY, "after": RELIABILITY | {"low": [0.1, 7]}}),
    "style": set_at("style", {"method": "invariant", "reference": {}}),
    "companion": set_at("companion", {"product": "AlphaEarth"}),
    "deep": lambda d: d.update(notes=json.loads("[" * 150 + "]" * 150)),
}  # fmt: skip


@pytest.mark.parametrize("claim", CLAIMS)
def test_claims_of_the_description_are_refused_without_memory(claim, folder):
    rewrite(folder, CLAIMS[claim])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError) as refused:
        ModelBundle.load(folder)
    assert str(refused.value).count(". ") >= 1, "a sentence says what to do"
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY_BYTES


def test_a_sound_folder_is_loaded(folder):
    rewrite(folder, lambda _: None)
    assert [member.kind for member in ModelBundle.load(folder).members] == [
        "network",
        "knn",
        "forest",
    ]


def header(tensors: dict) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text


FILES = {
    "petabytes": header(
        {"a": {"dtype": "F32", "shape": [10**15], "data_offsets": [0, 4 * 10**15]}}
    ),
    "lying-shape": header({"a": {"dtype": "F32", "shape": [10**15], "data_offsets": [0, 4]}})
    + b"1234",
    "overflow": header({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 0]}}),
    "negative": header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}) + b"1234",
    "long-header": struct.pack("<Q", 2**62) + b"{}",
    "spaces": struct.pack("<Q", 2**25) + b" " * 2**25,
    "empty": b"",
    "pickle": pickle.dumps({"a": 1}),
    "text": b"no weights",
}


@pytest.mark.parametrize("kind", FILES)
def test_weights_that_claim_more_than_they_have_are_refused(kind, folder):
    (folder / "model.safetensors").write_bytes(FILES[kind])
    rewrite(folder, lambda _: None)
    with pytest.raises(ModelError, match="safetensors"):
        ModelBundle.load(folder)


ARRAYS = {
    "children": ("forest.left", lambda t: t.fill_(10**6)),
    "types": ("forest.left", lambda t: t.double()),
    "features": ("forest.feature", lambda t: t.fill_(10**6)),
    "values": ("forest.value", lambda t: t.fill_(float("nan"))),
    "weights": ("forest.weight", lambda t: t.fill_(float("inf"))),
    "dimensions": ("forest.value", lambda t: t.reshape(-1)),
    "means": ("forest.mean", lambda t: t[:1]),
    "textures": ("forest.textures", lambda t: t.repeat(1, 50)),
    "prevalence": ("forest.prevalence", lambda t: t.fill_(float("nan"))),
    "zero-prevalence": ("forest.prevalence", lambda t: t.zero_()),
    "zero-values": ("forest.value", lambda t: t.zero_()),
    "negative-values": ("forest.value", lambda t: -t),
    "huge-values": ("forest.value", lambda t: t.fill_(3e38)),
    "zero-weights": ("forest.weight", lambda t: t.zero_()),
    "negative-weights": ("forest.weight", lambda t: -t),
    "thresholds": ("forest.threshold", lambda t: t.fill_(float("nan"))),
    "starts": ("forest.first", lambda t: t.flip(0)),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_of_the_forest_that_do_not_fit_are_refused(kind, folder):
    name, change = ARRAYS[kind]
    tensors = {key: value.clone() for key, value in load_file(folder / "model.safetensors").items()}
    tensors[name] = change(tensors[name]).contiguous()
    save_file(tensors, folder / "model.safetensors")
    rewrite(folder, lambda _: None)
    with pytest.raises(ModelError, match="forest"):
        ModelBundle.load(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["network.0.body.segmentation_head.0.bias", "knn.0.body.vectors"])
def test_weights_that_are_not_finite_are_refused(name, value, folder):
    tensors = {
        key: tensor.clone() for key, tensor in load_file(folder / "model.safetensors").items()
    }
    tensors[name].view(-1)[-1] = value
    save_file(tensors, folder / "model.safetensors")
    rewrite(folder, lambda _: None)
    with pytest.raises(ModelError, match=r"values that are NaN or infinite\. Expected finite"):
        ModelBundle.load(folder)


def test_a_calibration_with_empty_bins_is_read(folder):
    known = {"before": RELIABILITY, "after": RELIABILITY | {"expected_calibration_error": None}}
    rewrite(folder, set_at("calibration", known))
    before, after = ModelProvenance.read(folder).reliability
    assert before.count.tolist() == [0, 2]
    assert np.isnan(before.confidence[0])
    assert np.isnan(after.ece)


def test_parts_of_the_description_are_named(folder):
    rewrite(folder, set_at("scores", "network", "loss", "0.5"))
    for read, error in ((ModelBundle.load, ModelError), (ModelProvenance.read, InputFileError)):
        with pytest.raises(
            error, match=r"'scores.network.loss' is the text '0.5', expected a finite number"
        ):
            read(folder)


@pytest.mark.parametrize(
    "rows", ["step,loss\n1,x\n2,3\n", "step,loss\n,1\n2,3\n", "loss\n1\n2\n", "\0"]
)
def test_a_damaged_log_of_the_training_is_named(rows, folder):
    (folder / "training").mkdir()
    (folder / "training" / "metrics.csv").write_text(rows)
    if rows == "\0":
        assert ModelProvenance.read(folder).curves == {}
        return
    with pytest.raises(InputFileError, match=r"training log .*metrics\.csv' is damaged"):
        ModelProvenance.read(folder)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "device", "link", "folder"])
def test_devices_pipes_and_links_do_not_block(name, kind, folder, tmp_path):
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "folder":
        (folder / name).mkdir()
    else:
        (folder / name).symlink_to("/dev/zero" if kind == "device" else tmp_path / "nowhere")
    with pytest.raises(ModelError):
        ModelBundle.load(folder)


class Touch:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def expanded(shape: int) -> torch.Tensor:
    return torch.zeros(1).expand(shape)


PICKLES = {
    "code": lambda path, mark: torch.save({"state_dict": {"a": torch.zeros(1)}, "run": Touch(mark)}, path),
    "plain-pickle": lambda path, mark: path.write_bytes(pickle.dumps({"a": Touch(mark)})),
    "repeated-values": lambda path, mark: torch.save({"encoder.a": expanded(HUGE)}, path),
    "sparse": lambda path, mark: torch.save({"a": torch.sparse_coo_tensor(torch.zeros(1, 1).long(), torch.ones(1), (HUGE,))}, path),
    "meta": lambda path, mark: torch.save({"a": torch.empty(HUGE, device="meta")}, path),
}  # fmt: skip


@pytest.mark.parametrize("kind", [*PICKLES, "compressed"])
def test_torch_files_run_no_code_and_do_not_expand(kind, tmp_path):
    path, mark = tmp_path / "weights.pth", tmp_path / "touched"
    if kind == "compressed":
        torch.save({"a": torch.zeros(10**6)}, path)
        with zipfile.ZipFile(path) as old:
            content = {name: old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for name, value in content.items():
                new.writestr(name, value)
    else:
        PICKLES[kind](path, mark)
    with pytest.raises(ModelError):
        find_weights(str(path), "resnet18")
    with pytest.raises(TrainingError):
        read_checkpoint(path)
    assert not mark.exists()


def test_a_folder_opens_no_connection_and_runs_no_code(folder, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    rewrite(folder, set_at("config", "model", "weights", "https://host/weights.safetensors"))
    assert len(ModelBundle.load(folder).members) == 3


def test_a_thumbnail_that_expands_is_refused():
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(b"\0" * 10**8)).decode()
    base = {
        "name": "a",
        "crs": "EPSG:32632",
        "transform": [1, 0, 0, 0, -1, 0],
        "low": [0],
        "step": [1],
        "pixels": bomb,
    }
    for shape in ([1, 2, 2], [1, 10**6, 10**6], [0, 1, 1], [-1, -1, 4], ["a", 1, 1], None):
        with pytest.raises(InputFileError, match="picture style in a model folder is damaged"):
            PictureStyle.from_json(
                {"method": "invariant", "ground": [base | {"shape": shape}], "reference": {}}
            )


VALUES = [None, [], {}, "x", 0, -1, HUGE, float("nan"), True, [{}], {"x": {}}, ["x"]]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_key_may_hold_anything(value, folder):
    rewrite(folder, lambda d: d.update(members=d["members"][1:2]))  # the small one loads quickly
    keys = [
        *list(json.loads((folder / "model.json").read_text())),
        "scores",
        "calibration",
        "reason",
        "embedding",
        "style",
    ]
    original = (folder / "model.json").read_text()
    for key in keys:
        (folder / "model.json").write_text(original)
        rewrite(folder, set_at(key, value))
        for read in (ModelBundle.load, ModelProvenance.read):
            try:
                repr(read(folder))
            except GeopointsegError:
                continue


def test_links_in_a_folder_to_resume_are_not_followed(folder, tmp_path):
    training, secret = folder / "training", tmp_path / "secret.txt"
    training.mkdir()
    secret.write_text("secret")
    torch.save({}, training / "checkpoint.pt")
    (training / "metrics.csv").symlink_to(secret)
    for name in "abc":
        (training / name).symlink_to(training, target_is_directory=True)
    output = OutputFolder(folder)
    output.open(resume=True)
    assert [path.name for path in output.training.iterdir()] == ["checkpoint.pt"]
    output.discard()
    assert secret.read_text() == "secret"
