"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
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


@pytest.fixture(scope="session")
def web():
    """A web server on this machine; its `asked` holds the requests that it received."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    asked: list[str] = []
    web = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    web.asked = asked
    web.url = f"http://127.0.0.1:{web.server_port}/x.tif"
    yield web
    web.shutdown()
    web.server_close()


@pytest.fixture
def server(web):
    web.asked.clear()
    return web
