"""The same seed with other numbers of threads, and 16 bits beside 32: equal, or different within stated bounds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geopointseg.learning import trainer
from geopointseg.learning.training import train
from geopointseg.legend import Legend
from geopointseg.model.architecture import build_network
from geopointseg.model.bundle import ModelBundle
from geopointseg.model.member import NetworkMember, Normalization
from geopointseg.prediction.backend import build_engine
from geopointseg.prediction.product import PROBABILITIES, STEP, UNCERTAINTY, Products

OPTIONS = {"architecture": "fcn", "encoder": "fcn", "encoder_depth": 3}
LEGEND = Legend.from_names(["a", "b", "c"])


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def member() -> NetworkMember:
    torch.manual_seed(0)
    network = build_network(bands=3, classes=3, **OPTIONS).eval()
    norm = Normalization(np.zeros(3), np.ones(3))
    return NetworkMember(network, norm, 16, 1.0, OPTIONS, torch.device("cpu"))


def trained(place, tiny, folder, **settings) -> ModelBundle:
    return train(
        place.path, place.points, output=folder, config=tiny, steps=3, seed=5, model="network", device="cpu", **settings
    )  # fmt: skip


def window(seed: int) -> tuple[np.ndarray, np.ndarray]:
    image = np.random.default_rng(seed).normal(0, 1, (1, 3, 64, 64)).astype(np.float32)
    return image, np.ones((1, 64, 64), bool)


def test_one_and_two_threads_train_nearly_the_same_network(place, tiny, tmp_path, threads) -> None:
    found = []
    image = np.random.default_rng(0).normal(100, 30, (1, 3, 64, 64)).astype(np.float32)
    for count in (1, 2):
        torch.set_num_threads(count)
        bundle = trained(place, tiny, tmp_path / str(count))
        torch.set_num_threads(1)
        found.append(bundle.members[0].probabilities(image, np.ones((1, 64, 64), bool)))
    assert np.abs(found[0] - found[1]).mean() < 0.02  # sums in another order, amplified by AdamW


def test_one_and_two_threads_give_the_same_probabilities(member, threads) -> None:
    found = []
    for count in (1, 2):
        torch.set_num_threads(count)
        found.append(member.probabilities(*window(1)))
    assert np.abs(found[0] - found[1]).max() <= 1e-6


def test_sixteen_bits_train_nearly_the_same_network(place, tiny, tmp_path, monkeypatch) -> None:
    exact = trained(place, tiny, tmp_path / "32")
    monkeypatch.setattr(trainer, "choose_precision", lambda *_: "bf16-mixed")
    half = trained(place, tiny, tmp_path / "16")
    assert all(t.dtype in (torch.float32, torch.int64) for t in half.members[0].tensors().values())
    image = np.random.default_rng(0).normal(100, 30, (1, 3, 64, 64)).astype(np.float32)
    pair = [
        bundle.members[0].probabilities(image, np.ones((1, 64, 64), bool))
        for bundle in (exact, half)
    ]
    assert np.abs(pair[0] - pair[1]).mean() < 0.02


def test_sixteen_bits_infer_within_bounds(member) -> None:
    image, valid = window(2)
    exact, half = (build_engine(member, name, image)(image) for name in ("torch", "torch-bf16"))
    np.testing.assert_allclose(exact, member.probabilities(image, valid), atol=1e-5)
    assert half.dtype == np.float32
    assert np.abs(exact - half).max() < 0.02
    np.testing.assert_allclose(half.sum(axis=1), 1.0, atol=0.01)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 40))
def test_stored_bytes_are_within_half_a_step(seed: int, sharpness: float) -> None:
    rng = np.random.default_rng(seed)
    sums = rng.random((3, 5, 7)).astype(np.float32) ** np.float32(sharpness) + np.float32(1e-6)
    sums /= sums.sum(axis=0)
    sums[:, 0, 0] = 0
    exact, stored = (
        Products(LEGEND, probabilities=True, uncertainty=True, encoding=encoding).derive(
            sums.copy()
        )
        for encoding in ("float32", "uint8")
    )
    np.testing.assert_array_equal(exact["classes"], stored["classes"])
    valid = np.ones((5, 7), bool)
    valid[0, 0] = False
    for name in (PROBABILITIES, UNCERTAINTY):
        assert stored[name].dtype == np.uint8
        difference = np.abs(stored[name][:, valid] * STEP - exact[name][:, valid])
        assert difference.max() <= STEP / 2 + 1e-6
        assert (stored[name][:, ~valid] == 255).all()


def test_half_precision_of_live_features_keeps_logits() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (500, 784)).astype(np.float32)
    weight = rng.normal(0, 0.05, (6, 784)).astype(np.float32)
    exact = features.astype(np.float64) @ weight.T.astype(np.float64)
    half = features.astype(np.float16).astype(np.float32) @ weight.T
    assert np.abs(exact - half).max() < 5e-3
