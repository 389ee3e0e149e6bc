"""Properties of parsers and numerics. More examples: pytest --hypothesis-profile=long tests/test_properties.py."""

from __future__ import annotations

import json
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from geopointseg.assessment.confusion import ConfusionMatrix
from geopointseg.assessment.estimation import estimate_accuracy
from geopointseg.labels.layer_style import Category, Style, format_style, parse_style
from geopointseg.legend import Legend
from geopointseg.markup import DEEPEST, parse_json, parse_xml
from geopointseg.model.embedding_heads import NEAREST, build_embedding_head
from geopointseg.model.linear import LabelledFeatures, fit_logistic
from geopointseg.name import clean_name
from geopointseg.prediction.tiling import lay_lattice
from geopointseg.raster.expression import Expression

FUZZ = runpy.run_path(str(Path(__file__).parent / "benchmarks" / "fuzz_readers.py"))
READERS = FUZZ["_readers"]()
FEW = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("name", READERS)
@FEW
@given(data=st.data())
def test_a_reader_returns_or_raises_its_own_error(name, data):
    sample = data.draw(st.sampled_from(FUZZ["SAMPLES"][name])).encode()
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(sample))] * 2)))
    middle = data.draw(
        st.binary(max_size=30)
        | st.sampled_from(FUZZ["_WORDS"])
        | plain.map(lambda v: json.dumps(v).encode())
    )
    FUZZ["check"](name, *READERS[name], sample[:start] + middle + sample[stop:])


@pytest.mark.parametrize("name", READERS)
def test_inputs_of_earlier_fuzzing_are_read_or_refused(name):
    for content in FUZZ["inputs_of"](name):
        FUZZ["check"](name, *READERS[name], content)


@FEW
@given(st.lists(st.tuples(st.text(max_size=12), st.integers(0, 2**32 - 1)), min_size=1, max_size=6))
def test_a_legend_survives_json_and_qml(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = [clean_name(name) or str(code) for name, code in rows]
        assume(len(set(names)) == len(names) and len({code for _, code in rows}) == len(rows))
        legend = Legend.from_names([name for name, _ in rows], [code for _, code in rows])
        assert Legend.from_json(json.loads(json.dumps(legend.to_json()))) == legend
        style = Style("c", tuple(Category(str(e.code), e.name, e.color) for e in legend.entries))
        assert parse_style(format_style(style)) == style
    assert legend.decode(legend.encode(legend.codes)).tolist() == legend.codes.tolist()


@FEW
@given(st.integers(1, 3 * DEEPEST))
@example(DEEPEST)
@example(DEEPEST + 1)
def test_depth_is_limited_equally(depth):
    documents = (
        (parse_json, "[" * depth + "]" * depth),
        (parse_xml, "<a>" * depth + "</a>" * depth),
    )
    for parse, document in documents:
        if depth <= DEEPEST:
            parse(document)
        else:
            with pytest.raises(ValueError, match="nested deeper than 100"):
                parse(document)


@FEW
@given(
    st.integers(1, 400), st.integers(1, 400), st.integers(32, 128), st.floats(0, 0.5), st.sampled_from([1, 4, 16, 32]),
    st.sampled_from(["hann", "gaussian", "crop"]), st.floats(0, 0.5), st.sampled_from([1, 2**17]), st.booleans(),
)  # fmt: skip
def test_windows_cover_a_raster_with_weights_of_one(
    height, width, side, share, stride, blend, rim, sums_bytes, fit
):
    lattice = lay_lattice(
        (height, width),
        window_px=side,
        overlap_px=int(side * share),
        stride=stride,
        channels=3,
        blend=blend,
        margin_px=int(side * share * rim),
        sums_bytes=sums_bytes,
        fit=fit,
    )
    for axis, length, profiles in zip(
        (lattice.rows, lattice.cols), (height, width), lattice.profiles, strict=True
    ):
        origins, size = list(axis.origins), axis.size
        assert origins[0] == 0
        assert origins[-1] + size >= length
        assert not any(start % stride for start in origins)
        places = np.concatenate([np.arange(s.start, s.stop) for s in axis.segments])
        assert np.array_equal(places, np.arange(length))
        total = np.zeros(origins[-1] + size)
        for number, (start, weight) in enumerate(zip(origins, profiles, strict=True)):
            assert (weight >= 0).all()
            assert np.isfinite(weight).all()
            total[start : start + size] += weight
            used, tile = axis.used(number), _tile_of(axis, number)
            assert not weight[: used.start].any()
            assert not weight[used.stop :].any()
            for one in axis.segments_between(start + used.start, min(start + used.stop, length)):
                assert tile in one.tiles
        np.testing.assert_allclose(total, 1.0, atol=1e-5)


def _tile_of(axis, window):
    return next(n for n, (first, last) in enumerate(axis.groups) if first <= window < last)


@FEW
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(0, 12))
def test_estimates_are_shares_whatever_the_sizes(seed, classes, exponent):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 40, (classes, classes))
    sizes = rng.integers(1, 1000, classes).astype(float) * 10.0**exponent
    found = estimate_accuracy(counts, sizes)
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert found.overall.value == pytest.approx(
        float((np.diagonal(shares) * sizes).sum() / sizes.sum())
    )
    for each in (found.overall, *found.users, *found.producers):
        assert 0 <= each.low <= each.value <= each.high <= 1
        assert each.standard_error >= 0


@FEW
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_scores_are_within_one_and_symmetric(seed, classes):
    counts = np.random.default_rng(seed).integers(0, 9, (classes, classes))
    legend = Legend.from_names([f"c{k}" for k in range(classes)])
    matrix, turned = ConfusionMatrix(counts, legend), ConfusionMatrix(counts.T, legend)
    np.testing.assert_array_equal(matrix.users_accuracy, turned.producers_accuracy)
    for name in ("precision", "recall", "f1", "iou"):
        values = matrix.score(name)
        assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()
    assert np.nan_to_num(matrix.kappa) == pytest.approx(np.nan_to_num(turned.kappa))


@FEW
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 4), st.floats(-20, 20))
def test_heads_return_probabilities(seed, count, classes, power):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(0, 1, (count, 8)).astype(np.float32)
    head = build_embedding_head(
        8, classes, {"architecture": NEAREST, "count": count, "neighbours": 5}
    )
    head.body.load_vectors(vectors, rng.integers(0, classes, count))
    image = torch.from_numpy(rng.normal(0, 10.0**power, (1, 8, 3, 4)).astype(np.float32))
    found = torch.softmax(head(image), dim=1)
    assert torch.isfinite(found).all()
    np.testing.assert_allclose(found.detach().sum(dim=1).numpy(), 1.0, atol=1e-5)


@FEW
@given(st.integers(0, 2**32 - 1), st.floats(-6, 6), st.floats(-6, 6))
def test_a_logistic_head_does_not_depend_on_units(seed, scale, shift):
    rng = np.random.default_rng(seed)
    index = np.arange(30) % 3
    features = rng.normal(index[:, None], 1, (30, 4))
    changed = features * 10**scale + 10**shift * 10**scale
    assume(10**shift < 1e4)  # float32 keeps the differences
    found = []
    for values in (features, changed):
        labelled = LabelledFeatures(
            values.astype(np.float32), index.astype(np.int64), np.ones(30, np.float32)
        )
        weight, bias = fit_logistic(labelled, 3)
        logits = values.astype(np.float32).astype(np.float64) @ weight.T + bias
        found.append(logits - logits.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(found[0], found[1], atol=0.05)


@FEW
@given(st.floats(-1e6, 1e6, width=32), st.floats(-1e6, 1e6, width=32))
def test_formulas_are_finite(first, second):
    bands = {"a": np.float32([first]), "b": np.float32([second])}
    for text in ("a / b", "log(a)", "a ** b", "sqrt(a - b)", "exp(a) / exp(b)", "9 ** 9 ** 9 * a"):
        assert np.isfinite(Expression.parse(text).evaluate(bands)).all()
