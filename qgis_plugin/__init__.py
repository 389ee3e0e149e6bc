"""geopointseg in the QGIS Processing toolbox: forms in front of its command line."""

from typing import Any


def classFactory(iface: Any) -> Any:
    """Return the plugin object; QGIS calls this."""
    from .plugin import GeopointsegPlugin

    return GeopointsegPlugin(iface)
