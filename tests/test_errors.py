"""Every kind of error is also the builtin that a Python user expects."""

import pytest

from geopointseg import errors


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.InputFileError, OSError),
        (errors.OutputError, OSError),
        (errors.PointsError, ValueError),
        (errors.ModelError, ValueError),
        (errors.TrainingError, RuntimeError),
        (errors.MissingDependencyError, ImportError),
    ],
)
def test_kinds_inherit_their_builtin_and_the_root(kind, builtin):
    assert issubclass(kind, builtin)
    assert issubclass(kind, errors.GeopointsegError)
    assert str(kind("found, expected, do")) == "found, expected, do"


def test_nothing_near_lists_the_known_names():
    assert errors.nearest_names("xyz", ["unet", "fpn"]) == "Known names: unet, fpn."
