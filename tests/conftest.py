"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("normal", deadline=None)  # other work on the machine must not fail a test
settings.register_profile("long", deadline=None, max_examples=2000)
settings.load_profile("normal")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # some tests import it themselves

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real imagery, beside the checkout or named by GEOPOINTSEG_DATA; skips where absent."""
    folder = Path(os.environ.get("GEOPOINTSEG_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found in {folder}; set GEOPOINTSEG_DATA to try them")
    return folder


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Keep torch to one thread, so that parallel test workers do not fight over cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def digest_cost() -> Iterator[dict[str, int]]:
    """Make digests of training points cheap in all trainings of the tests; yield what they cost elsewhere."""
    from geopointseg.assessment.location_digest import COST

    full = dict(COST)
    COST["n"] = 2
    yield full
    COST.update(full)
