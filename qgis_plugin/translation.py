"""Texts in the user's language; longer ones are in ``texts.json``."""

from pathlib import Path
from typing import Any, NoReturn

from qgis.core import QgsProcessingException
from qgis.PyQt import uic
from qgis.PyQt.QtCore import QCoreApplication

from .tasks import load_table

CONTEXT = "geopointseg"


def tr(text: str, /, **found: object) -> str:
    """Return the text in QGIS's language, or as it is where there is no translation, with what was found in it."""
    translated = QCoreApplication.translate(CONTEXT, text)
    return translated.format(**found) if found else translated


def say(key: str, **found: object) -> str:
    """Return a sentence of ``texts.json`` with what was found in it."""
    return tr(load_table("texts.json")["texts"][key], **found)


def refuse(key: str, **found: object) -> NoReturn:
    """End a run with a sentence of ``texts.json``."""
    raise QgsProcessingException(say(key, **found))


def load_window(name: str, window: Any) -> None:
    """Fill a window with the parts that ``name.ui`` describes."""
    uic.loadUi(str(Path(__file__).with_name(f"{name}.ui")), window)
