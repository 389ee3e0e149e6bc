"""The plugin object: registers the provider, the translation and the panel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import QgsApplication, QgsSettings
from qgis.PyQt.QtCore import QCoreApplication, Qt, QTranslator
from qgis.PyQt.QtGui import QIcon

from .algorithm import ICON
from .provider import GeopointsegProvider


class GeopointsegPlugin:
    """Registers the provider for the window, for models and for qgis_process alike."""

    def __init__(self, iface: Any) -> None:
        self.iface = iface
        self.provider: GeopointsegProvider | None = None
        self.panel: Any = None
        self.translator = QTranslator()
        language = QgsSettings().value("locale/userLocale", QgsApplication.locale(), type=str)[:2]
        if self.translator.load(f"geopointseg_{language}", str(Path(__file__).parent / "i18n")):
            QCoreApplication.installTranslator(self.translator)

    def initProcessing(self) -> None:
        """Register the provider; qgis_process calls this alone."""
        self.provider = GeopointsegProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        """Register the provider and add the panel to the window."""
        from .panel import Panel

        self.initProcessing()
        self.panel = Panel(self.iface)
        self.iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.panel)
        self.panel.hide()
        action = self.panel.toggleViewAction()
        action.setIcon(QIcon(ICON))
        self.iface.addPluginToMenu("geopointseg", action)
        self.iface.addToolBarIcon(action)

    def unload(self) -> None:
        """Take everything away again."""
        QgsApplication.processingRegistry().removeProvider(self.provider)
        QCoreApplication.removeTranslator(self.translator)
        if self.panel is not None:
            self.panel.end()
            self.iface.removePluginMenu("geopointseg", self.panel.toggleViewAction())
            self.iface.removeToolBarIcon(self.panel.toggleViewAction())
            self.iface.removeDockWidget(self.panel)
            self.panel.deleteLater()
