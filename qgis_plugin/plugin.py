"""The provider of the algorithms, and the plugin object: provider, translation, menu and panel."""

from pathlib import Path
from typing import Any

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsApplication, QgsProcessingProvider, QgsSettings
from qgis.PyQt.QtCore import QCoreApplication, Qt, QTimer, QTranslator
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QAction
from qgis.utils import iface

from .algorithm import ICON, CheckEnvironment, CheckPoints, CommandAlgorithm, LoadDemo, SplitPoints
from .environment import CreateEnvironment
from .interpreter import SETTING
from .tasks import load_table, load_tasks
from .translation import tr

MENU = "geopointseg"
OWN = (CheckEnvironment, CreateEnvironment, CheckPoints, SplitPoints, LoadDemo)
SPECIAL = {kind.__name__.lower(): kind for kind in OWN}


class GeopointsegProvider(QgsProcessingProvider):
    """All algorithms of geopointseg; they stay listed when none can run."""

    def load(self) -> bool:
        """Show the setting in the Processing options and fill the toolbox."""
        label = tr("Python interpreter that has geopointseg")
        setting = Setting(self.name(), SETTING, label, "", valuetype=Setting.FILE)
        ProcessingConfig.settingIcons[self.name()] = self.icon()
        ProcessingConfig.addSetting(setting)
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        ProcessingConfig.removeSetting(SETTING)

    def loadAlgorithms(self) -> None:
        for name, task in load_tasks().items():
            self.addAlgorithm(SPECIAL.get(name, CommandAlgorithm)(task))

    def id(self) -> str:
        return "geopointseg"

    def name(self) -> str:
        return "geopointseg"

    def icon(self) -> QIcon:
        return QIcon(ICON)

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        return ["gpkg"]

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        return ["tif"]

    def supportsNonFileBasedOutput(self) -> bool:
        return False


class GeopointsegPlugin:
    """Registers the provider for the window, for models and for qgis_process alike."""

    def __init__(self, iface: Any) -> None:
        self.iface, self.actions = iface, []
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
        """Register the provider and add panel and menu to the window."""
        from .panel import Panel
        from .setup_page import show_at_first_start

        self.initProcessing()
        self.panel = Panel(self.iface)
        self.iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.panel)
        self.panel.hide()
        action = self.panel.toggleViewAction()
        action.setIcon(QIcon(ICON))
        action.setText(tr("Points panel"))
        self.iface.addToolBarIcon(action)
        self.actions = [action, *map(self.make_action, load_table("algorithms.json")["menu"])]
        for entry in self.actions:
            self.iface.addPluginToRasterMenu(MENU, entry)
        QTimer.singleShot(0, show_at_first_start)

    def make_action(self, name: str) -> QAction:
        """Return a menu entry that opens the form of an algorithm."""
        algorithm = QgsApplication.processingRegistry().algorithmById(f"geopointseg:{name}")
        entry = QAction(algorithm.icon(), algorithm.displayName().partition(" ")[2], self.iface.mainWindow())
        entry.triggered.connect(lambda: open_form(algorithm.id()))
        return entry

    def unload(self) -> None:
        """Take everything away again."""
        QgsApplication.processingRegistry().removeProvider(self.provider)
        QCoreApplication.removeTranslator(self.translator)
        for entry in self.actions:
            self.iface.removePluginRasterMenu(MENU, entry)
        if self.panel is not None:
            self.panel.end()
            self.iface.removeToolBarIcon(self.panel.toggleViewAction())
            self.iface.removeDockWidget(self.panel)
            self.panel.deleteLater()


def open_form(identifier: str) -> None:
    """Open the form of an algorithm, or the set-up page where none can run."""
    import processing

    from .setup_page import SetupPage

    if QgsApplication.processingRegistry().algorithmById(identifier).canExecute()[0]:
        processing.execAlgorithmDialog(identifier)
    else:
        SetupPage(iface.mainWindow() if iface is not None else None).exec()
