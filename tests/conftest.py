"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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


WEB_SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(sys.argv[1], "a") as log:
            log.write(self.path + chr(10))
        self.send_error(404)
    do_HEAD = do_GET
    def log_message(self, *_):
        pass
web = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(web.server_port, flush=True)
web.serve_forever()
"""


@dataclass(frozen=True)
class WebServer:
    """A server in a process of its own, because GDAL may hold Python's lock while it waits for an answer."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        """Address of a raster that it does not have."""
        return f"http://127.0.0.1:{self.port}/x.tif"

    @property
    def asked(self) -> list[str]:
        """The paths that were requested."""
        return self.log.read_text().split() if self.log.exists() else []

    def forget(self) -> None:
        """Forget the requests so far."""
        self.log.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A web server on this machine; its `asked` holds the requests that it received."""
    log = tmp_path_factory.mktemp("web") / "asked"
    command = [sys.executable, "-c", WEB_SERVER, str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield WebServer(int(process.stdout.readline()), log)
        process.kill()


@pytest.fixture
def server(web: WebServer) -> WebServer:
    web.forget()
    return web
