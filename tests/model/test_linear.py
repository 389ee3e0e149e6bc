"""The linear model is logistic regression on features: the same numbers as scikit-learn's, on every pixel."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from geopointseg.errors import TrainingError
from geopointseg.model.architecture import build_network
from geopointseg.model.backbone import build_backbone
from geopointseg.model.linear import (
    INVERSE_REGULARIZATION,
    LabelledFeatures,
    LinearBody,
    choose_projection,
    compute_features,
    fit_head,
    fit_logistic,
)


@pytest.fixture(scope="module")
def body():
    return LinearBody(4, 3, build_backbone()).eval()


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).normal(size=(4, 160, 192)).astype(np.float32)


def pixels(count=60, shape=(160, 192), seed=2):
    generator = np.random.default_rng(seed)
    return generator.integers(0, shape[0], count), generator.integers(0, shape[1], count)


def test_features_are_the_stages_upsampled_bilinearly(body, image):
    row, col = pixels()
    features = compute_features(body, image, np.ones(image.shape[1:], bool), row, col)
    with torch.inference_mode():
        stages = body.stages(torch.from_numpy(image)[None])
    up = [torch.nn.functional.interpolate(s, (160, 192), mode="bilinear") for s in stages]
    expected = np.concatenate([image, *(u[0].numpy() for u in up)])[:, row, col].T
    assert features.shape == (60, 4 + 464)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("present", [[0, 1, 2], [0, 2]])
def test_the_network_gives_the_probabilities_of_scikit_learn(body, image, present):
    row, col = pixels()
    features = compute_features(body, image, np.ones(image.shape[1:], bool), row, col)
    labels = np.array(present)[np.random.default_rng(3).integers(0, len(present), 60)]
    weight = np.random.default_rng(4).uniform(0.5, 2, 60).astype(np.float32)
    fit_head(body, LabelledFeatures(features, labels, weight), 3)
    standard = (features - features.mean(0)) / features.std(0)
    model = LogisticRegression(C=INVERSE_REGULARIZATION, class_weight="balanced", max_iter=1000)
    expected = model.fit(standard, labels, weight).predict_proba(standard)
    with torch.inference_mode():
        found = body(torch.from_numpy(image)[None]).softmax(1)[0].numpy()[:, row, col].T
    np.testing.assert_allclose(found[:, present], expected, atol=2e-3)
    assert np.delete(found, present, axis=1).sum() == 0


def test_constant_features_get_no_weight(body):
    features = np.random.default_rng(5).normal(size=(40, 468)).astype(np.float32)
    features[:, 7] = 3.0
    fit_head(body, LabelledFeatures(features, np.arange(40) % 3, np.ones(40, np.float32)), 3)
    assert not body.of_stages[0].weight[:, 3].detach().any()
    assert all(torch.isfinite(p).all() for p in body.parameters())


def test_one_class_is_refused(body):
    one = LabelledFeatures(
        np.ones((4, 468), np.float32), np.ones(4, np.int64), np.ones(4, np.float32)
    )
    with pytest.raises(TrainingError, match=r"labelled pixels of 1 class\. Expected two classes"):
        fit_head(body, one, 3)


def test_tiles_of_large_images_have_the_features_of_the_whole(body):
    large = np.random.default_rng(6).normal(size=(4, 160, 1200)).astype(np.float32)
    row, col = pixels(80, (160, 1200))
    valid = np.ones(large.shape[1:], bool)
    tiled = compute_features(body, large, valid, row, col)
    with torch.inference_mode():
        padded = torch.nn.functional.pad(
            torch.from_numpy(large)[None], (0, 16, 0, 0), mode="reflect"
        )
        whole = body.features_at(padded, torch.from_numpy(row), torch.from_numpy(col)).numpy()
    difference = np.abs(tiled - whole) / whole.std(axis=0)
    assert np.quantile(difference, 0.999) < 0.05


def test_projections():
    assert choose_projection(2, None).tolist() == [[1, 0], [0, 1], [0, 1]]
    sample = np.random.default_rng(7).normal(size=(500, 8)).astype(np.float32)
    sample[:, 5] = 4 * sample[:, 2]
    seen = sample @ choose_projection(8, None, sample).T
    np.testing.assert_allclose(np.cov(seen.T), np.eye(3), atol=1e-4)


def test_it_is_built_from_its_options_as_a_model_folder_holds_them():
    network = build_network("linear", "tf_efficientnet_lite0", bands=4, classes=3, encoder_depth=6)
    assert network(torch.zeros(1, 4, 37, 50)).shape == (1, 3, 37, 50)
    assert network.output_stride == 32


def test_a_factor_of_two_regularizes_as_four_copies_of_the_feature():
    generator = np.random.default_rng(4)
    index = np.arange(60) % 3
    features = generator.normal(index[:, None], 2.0, (60, 3)).astype(np.float32)
    ones = np.ones(60, np.float32)
    copies = np.concatenate([features, *[features[:, :1]] * 3], axis=1)
    expected, _ = fit_logistic(LabelledFeatures(copies, index, ones), 3)
    found, _ = fit_logistic(LabelledFeatures(features, index, ones), 3, np.float32([2, 1, 1]))
    np.testing.assert_allclose(found[:, 0], expected[:, [0, 3, 4, 5]].sum(axis=1), atol=2e-3)
    np.testing.assert_allclose(found[:, 1:], expected[:, 1:3], atol=2e-3)
    quick, _ = fit_logistic(
        LabelledFeatures(features, index, ones), 3, np.float32([2, 1, 1]), is_quick=True
    )
    np.testing.assert_allclose(quick, found, atol=0.02)
