"""Environment variables and limits of the process that GDAL, PROJ and the C library read.

Importing geopointseg changes nothing. The ``geopointseg`` command sets the environment of its own process
(`own_process`) and restores it at its end. Until the user names an address, GDAL may not connect to other machines
(`permit_connections`). Functions that are called from Python change this state of the caller's
process:

- The first call that opens a raster or makes points drops ``PROJ_LIB``, ``PROJ_DATA``, ``GDAL_DATA`` and
  ``GDAL_DRIVER_PATH`` from the environment where rasterio brings folders of its own, because QGIS and conda export
  folders that do not fit that rasterio (`use_own_geodata`).
- `predict` asks glibc to keep freed memory (`geopointseg.model.allocator`), and limits GDAL's cache of blocks while it
  runs. OpenVINO, where it is used, gets a larger stack for signal handlers.
- ONNX Runtime, where it is used, gets ``ORT_DISABLE_TELEMETRY=1`` unless the caller set that variable (`import_onnxruntime`).
- `train` sets the random state of torch and restores it.

The environment variable ``GEOPOINTSEG_PROCESS=keep`` switches the first two off. Limits that the caller sets
(``GDAL_CACHEMAX``, ``GDAL_MAX_DATASET_POOL_SIZE``) are never replaced by the command.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

from geopointseg.source_policy import is_allowed

SWITCH = "GEOPOINTSEG_PROCESS"

_GEODATA = {"proj_data": ("PROJ_LIB", "PROJ_DATA"), "gdal_data": ("GDAL_DATA", "GDAL_DRIVER_PATH")}
_LIMITS = {
    "GDAL_CACHEMAX": "64",  # megabytes of decoded blocks; GDAL takes 5 % of the memory
    "GDAL_MAX_DATASET_POOL_SIZE": "32",  # files that virtual rasters hold open
    "GDAL_VRT_ENABLE_PYTHON": "NO",  # pixel functions in Python
    "GML_DOWNLOAD_SCHEMA": "NO",  # a schema that a GML file names by its address
    "ORT_DISABLE_TELEMETRY": "1",  # see `import_onnxruntime`
}
"""Limits of GDAL, and of ONNX Runtime. The default limits of memory grow with the machine and are fixed at its first use."""

_ROOM_BYTES = 16 * 2**20
"""Least part of a limited address space that must be free before GDAL opens a file."""
_COMPILED = "TORCHINDUCTOR_CACHE_DIR"
"""Where torch keeps what it compiles. It makes the folder on import, and nothing is compiled here: one that exists is named."""


_CLOSED = "http://127.0.0.1:1"  # nothing listens there
_OFFLINE = {
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "/vsicurl/none",  # files of the network
    "GDAL_HTTP_PROXY": _CLOSED,  # all other requests: services, and addresses in GeoJSON, GML and XML
    "GDAL_HTTPS_PROXY": _CLOSED,
}
_of_caller: dict[str, str] = {}
"""Values of these variables before `own_process`."""


def may_change_process() -> bool:
    """Whether functions may change the state of the caller's process."""
    return os.environ.get(SWITCH, "").strip().lower() != "keep"


def use_own_geodata() -> None:
    """Remove PROJ and GDAL folders of another installation from the environment, unless the caller forbids it.

    A rasterio wheel contains its own folders and finds no CRS in others. rasterio reads the variables whenever it
    enters an environment, so they are removed for good.
    """
    if may_change_process():
        found = [os.environ.pop(variable, None) for variable in _foreign_variables()]
        if any(found) and "rasterio" in sys.modules:
            _point_to_own_geodata()


def _point_to_own_geodata() -> None:
    """Correct what rasterio read from the environment when it was imported."""
    from rasterio.env import set_gdal_config, set_proj_data_search_path

    home = _rasterio_home()
    if home is not None and (home / "proj_data").is_dir():
        set_proj_data_search_path(str(home / "proj_data"))
    if home is not None and (home / "gdal_data").is_dir():
        set_gdal_config("GDAL_DATA", str(home / "gdal_data"))


@contextmanager
def own_process() -> Iterator[None]:
    """Set the environment of the command within the block: folders of PROJ and GDAL, limits of GDAL, and no connections.

    Which file formats make GDAL connect, by which of their fields, is not fully known and changes with its versions. So GDAL is
    kept from it altogether, beside the search of documents for addresses (`geopointseg.source_policy`).
    """
    before = dict(os.environ)
    use_own_geodata()
    for name, value in _LIMITS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault(_COMPILED, tempfile.gettempdir())
    if not is_allowed("network"):
        _of_caller.update({name: before[name] for name in _OFFLINE if name in before})
        os.environ.update(_OFFLINE)
    try:
        yield
    finally:
        _of_caller.clear()
        changed = {*_LIMITS, *_OFFLINE, _COMPILED, *_foreign_variables()}
        for name in changed:
            os.environ.pop(name, None)
        os.environ.update({name: before[name] for name in changed if name in before})


def permit_connections() -> None:
    """Let GDAL connect in the rest of a command, because the user named an address."""
    for name, value in _OFFLINE.items():
        if os.environ.get(name) == value:
            del os.environ[name]
            os.environ.update({name: _of_caller[name]} if name in _of_caller else {})


def require_room() -> None:
    """Refuse work that needs memory where a limit of the address space leaves hardly any (Linux).

    GDAL ends the process where its memory runs out while it opens a file, so there would be no message.

    Raises
    ------
    MemoryError
        If less than 16 MiB are left.
    """
    if sys.platform != "linux":
        return
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:  # no /proc
        return
    if limit - pages * resource.getpagesize() < _ROOM_BYTES:
        raise MemoryError("the limit of the address space (ulimit -v) is reached")


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime without its telemetry.

    From version 1.29 on it sends events about the machine and the models to its maker, unless a variable forbids that before
    the import. It also leaves a file in the folder of temporary files.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module("onnxruntime")


@cache
def _foreign_variables() -> tuple[str, ...]:
    """Return the variables of the folders that the installed rasterio contains."""
    home = _rasterio_home()
    if home is None:
        return ()
    return tuple(
        variable
        for folder, variables in _GEODATA.items()
        if (home / folder).is_dir()
        for variable in variables
    )


def _rasterio_home() -> Path | None:
    """Return the folder of the installed rasterio, found without importing it."""
    spec = importlib.util.find_spec("rasterio")
    return Path(spec.origin).parent if spec and spec.origin else None
