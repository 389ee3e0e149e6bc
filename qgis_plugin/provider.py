"""The provider: the list of algorithms, and the one setting in QGIS's options."""

from __future__ import annotations

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithm import ICON, CommandAlgorithm
from .environment import CreateEnvironment
from .interpreter import SETTING
from .special import CheckEnvironment, CheckPoints, LoadDemo, SplitPoints
from .tasks import load_tasks
from .translation import tr

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
