"""The one setting: which Python runs geopointseg; and where to find one that can."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from qgis.core import QgsNetworkAccessManager, QgsSettings
from qgis.PyQt.QtCore import QStandardPaths
from qgis.PyQt.QtNetwork import QNetworkProxy

from .translation import tr

SETTING = "GEOPOINTSEG_INTERPRETER"
KEY = f"Processing/Configuration/{SETTING}"
INSIDE = Path("Scripts", "python.exe") if os.name == "nt" else Path("bin", "python")


def current() -> str:
    """Return the interpreter that is set, in the options or in the environment; else nothing."""
    set_in_options = QgsSettings().value(KEY, "", type=str).strip()
    chosen = set_in_options or os.environ.get("GEOPOINTSEG_PYTHON", "").strip()
    path = Path(chosen).expanduser()
    if chosen and path.is_dir():
        path = path / INSIDE
    elif path.stem == "geopointseg":
        path = path.with_name(INSIDE.name)
    return str(path) if chosen else ""


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
    advice = tr(
        "Run 'Set up geopointseg' in the toolbox; it finds one or makes one."
    )
    return f"{reason.format(path=path)} {advice}"


def candidates() -> list[str]:
    """Return the Pythons of this machine that may be new enough, the likeliest first."""
    names = ["python3.13", "python3.12", "python3.14", "python3", "python"]
    programs = Path(os.environ.get("LOCALAPPDATA", os.sep), "Programs", "Python")
    folders = ["/opt/homebrew/bin", "/usr/local/bin", *map(str, programs.glob("Python3*"))]
    found = [QStandardPaths.findExecutable(name) for name in names]
    found += [QStandardPaths.findExecutable(name, folders) for name in names]
    return list(dict.fromkeys(path for path in found if path))


def proxy_url() -> str:
    """Return the proxy that QGIS is set to use, for the child; empty where there is none."""
    proxy, kinds = QgsNetworkAccessManager.instance().fallbackProxy(), QNetworkProxy.ProxyType
    known = {kinds.HttpProxy: "http", kinds.HttpCachingProxy: "http", kinds.Socks5Proxy: "socks5h"}
    if proxy.type() not in known or not proxy.hostName():
        return ""
    user = f"{quote(proxy.user(), '')}:{quote(proxy.password(), '')}@" if proxy.user() else ""
    port = f":{proxy.port()}" if proxy.port() else ""
    return f"{known[proxy.type()]}://{user}{proxy.hostName()}{port}"
