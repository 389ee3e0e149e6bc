"""Texts in the user's language."""

from __future__ import annotations

from qgis.PyQt.QtCore import QCoreApplication

CONTEXT = "geopointseg"


def tr(text: str) -> str:
    """Return the text in QGIS's language, or as it is where there is no translation."""
    return QCoreApplication.translate(CONTEXT, text)
