"""The one setting: which Python runs geopointseg; and where to find one that can."""

import os
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from qgis.core import QgsApplication, QgsNetworkAccessManager, QgsSettings
from qgis.PyQt.QtCore import QStandardPaths
from qgis.PyQt.QtNetwork import QNetworkProxy

from .tasks import load_table
from .translation import say, tr

SETTING = "GEOPOINTSEG_INTERPRETER"
KEY = f"Processing/Configuration/{SETTING}"
IS_WINDOWS, IS_MAC = os.name == "nt", sys.platform == "darwin"
INSIDE = Path("Scripts", "python.exe") if IS_WINDOWS else Path("bin", "python")
CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def current() -> str:
    """Return the interpreter that is set, in the options or in the environment; else nothing."""
    set_in_options = QgsSettings().value(KEY, "", type=str).strip()
    chosen = set_in_options or os.environ.get("GEOPOINTSEG_PYTHON", "").strip()
    return inside(chosen) if chosen else ""


def inside(chosen: str) -> str:
    """Return the Python of an environment's folder, or of a command ``geopointseg``.

    A command may be a link into its environment, or name its Python in its first line.
    """
    path = Path(chosen).expanduser()
    if path.is_dir():
        path = path / INSIDE
    elif path.stem == "geopointseg":
        first = path.read_bytes()[:500].partition(b"\n")[0] if path.is_file() else b""
        named, beside = (first[2:].decode("utf-8", "replace").strip(), path.resolve().with_name(INSIDE.name))
        path = Path(named) if first[:3] == b"#!/" and not beside.exists() else beside
    return str(path)


def problem() -> str:
    """Return in one sentence why no run can start, or an empty string."""
    path = current()
    if not path:
        reason = tr("No Python interpreter with geopointseg is set.")
    elif not Path(path).is_file():
        reason = tr("The interpreter {path} does not exist.")
    elif not os.access(path, os.X_OK):
        reason = tr("The interpreter {path} is not a program that may be executed.")
    else:
        return ""
    return f"{reason.format(path=path)} {say('run_set_up')}"


def default_folder() -> Path:
    """Return the folder for an environment: local data of the account, not of a roaming profile."""
    place = QStandardPaths.StandardLocation.GenericDataLocation
    return Path(QStandardPaths.writableLocation(place) or Path.home(), "geopointseg", "environment")


def candidates(*, own: bool = False) -> list[str]:
    """Return the Pythons of this machine that may be new enough, the likeliest first.

    ``own`` adds QGIS's own Python, which can fetch a file but makes no environment.
    """
    names = ["python3.13", "python3.12", "python3.14", "python3", "python"]
    programs = Path(os.environ.get("LOCALAPPDATA", os.sep), "Programs", "Python")
    folders = ["/opt/homebrew/bin", "/usr/local/bin", *map(str, programs.glob("Python3*"))]
    found = [QStandardPaths.findExecutable(name) for name in names]
    found += [QStandardPaths.findExecutable(name, folders) for name in names]
    if own:
        inner = (Path(sys.prefix, "python.exe"), Path(sys.prefix, "bin", "python3"))
        found += [str(path) for path in inner if path.is_file()]
    return list(dict.fromkeys(path for path in found if path))


def installations(feedback: Any) -> list[tuple[str, str]]:
    """Return the Pythons of this machine that have geopointseg, with its version."""
    old = Path(QgsApplication.qgisSettingsDirPath(), "geopointseg_environment")
    paths = [current(), str(default_folder() / INSIDE), str(old / INSIDE)]
    paths += [os.environ.get("GEOPOINTSEG_PYTHON", ""), QStandardPaths.findExecutable("geopointseg"), *candidates()]
    found = []
    for path in dict.fromkeys(inside(path) for path in paths if path):
        if Path(path).is_file() and os.access(path, os.X_OK):
            version = probe(path, feedback)[1]
            found += [(path, version)] if version else []
    return found


def probe(path: str, feedback: Any) -> tuple[tuple[int, ...], str]:
    """Return the version of a Python and of its geopointseg; empty where there is none."""
    from .runner import run_program

    lines: list[str] = []
    run_program(path, ["-c", load_table("algorithms.json")["probe"]], feedback, lines.append)
    found = re.search(r"version (\d+)\.(\d+) with (\S+)", "\n".join(lines))
    return ((int(found[1]), int(found[2])), found[3].strip("-")) if found else ((), "")


def network() -> dict[str, str]:
    """Return the exceptions of QGIS's proxy and its certificates as environment variables."""
    hosts = QgsNetworkAccessManager.instance().excludeList() if proxy_url() else []
    spared = ",".join(urlsplit(host).netloc or host for host in hosts)
    found = dict.fromkeys(("NO_PROXY", "no_proxy"), spared) if spared else {}
    certificates = certificates_file()
    return {**found, **(dict.fromkeys(CERTIFICATES, certificates) if certificates else {})}


def certificates_file() -> str:
    """Return a file with the certificates that QGIS trusts, where the user added some."""
    manager = QgsApplication.authManager()
    if manager.isDisabled() or not (manager.databaseCAs() or manager.extraFileCAs()):
        return ""
    path = default_folder().parent / "certificates.pem"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(manager.trustedCaCertsPemText()))
    return str(path)


def proxy_url() -> str:
    """Return the proxy that QGIS is set to use, for the child; empty where there is none."""
    proxy, kinds = QgsNetworkAccessManager.instance().fallbackProxy(), QNetworkProxy.ProxyType
    known = {kinds.HttpProxy: "http", kinds.HttpCachingProxy: "http", kinds.Socks5Proxy: "socks5h"}
    if proxy.type() not in known or not proxy.hostName():
        return ""
    user = f"{quote(proxy.user(), '')}:{quote(proxy.password(), '')}@" if proxy.user() else ""
    port = f":{proxy.port()}" if proxy.port() else ""
    return f"{known[proxy.type()]}://{user}{proxy.hostName()}{port}"
