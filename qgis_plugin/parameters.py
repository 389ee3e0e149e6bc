"""Kinds of parameters: how QGIS asks for each, and how its answer is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from processing.gui.wrappers import WidgetWrapper
from qgis import core
from qgis.PyQt.QtWidgets import QComboBox

from . import inputs, memory
from .tasks import Parameter, load_table
from .translation import refuse, tr

ENUMS = {
    "layerType": core.QgsProcessing.SourceType, "type": core.QgsProcessingParameterNumber.Type,
    "behavior": core.QgsProcessingParameterFile.Behavior,
}  # fmt: skip


class Kind(NamedTuple):
    """A kind of parameter: QGIS's class, the ``parameterAs...`` that reads it, how it is declared."""

    type: str
    read_as: str
    details: dict[str, Any] = {}  # noqa: RUF012  never changed

    def declaration(self) -> dict[str, Any]:
        """Return the details with members of QGIS's enumerations in place of their names."""
        found = {key: getattr(ENUMS[key], name) for key, name in self.details.items() if key in ENUMS}
        types = [getattr(core.QgsProcessing.SourceType, name) for name in self.details.get("types", ())]
        return {**self.details, **found, **({"types": types} if types else {})}


# a file filter "*.*", QGIS's own, refuses names without a dot, such as python3; a filter *.html would have
# a refused run announce the report
KINDS = {name: Kind(*row) for name, row in load_table("algorithms.json")["kinds"].items()}
DESTINATIONS = {name for name in KINDS if name.endswith("_out")}
HTML, WANTED = (".html", ".htm", ".xhtml"), ("html_out", "part_out")  # wanted: optional, but made where nobody says no


class ChoiceWidget(WidgetWrapper):
    """Shows choices in words and keeps the value that scripts and models store."""

    def __init__(self, *arguments: Any, words: dict[str, str], **more: Any) -> None:
        self.words = words
        super().__init__(*arguments, **more)

    def createWidget(self, **_more: Any) -> QComboBox:
        box = QComboBox()
        for stored, shown in self.words.items():
            box.addItem(shown, stored)
        box.currentIndexChanged.connect(lambda _index: self.widgetValueHasChanged.emit(self))
        return box

    def setValue(self, value: Any) -> None:
        self.widget.setCurrentIndex(max(self.widget.findData(plain(value)), 0))

    def value(self) -> str:
        return str(self.widget.currentData())


def plain(value: Any) -> Any:
    """Return an answer, or None for every way in which a form says "nothing".

    Nothing is None, an empty or blank text, a NULL of any Qt, a null rectangle, a list of nothings,
    and a layer definition around one of these.
    """
    inner = value
    if isinstance(value, core.QgsProcessingFeatureSourceDefinition):
        inner = value.source
    elif isinstance(value, core.QgsProcessingOutputLayerDefinition):
        inner = value.sink
    if isinstance(inner, core.QgsProperty):
        fixed = inner.propertyType() == core.QgsProperty.Type.StaticProperty
        inner = inner.staticValue() if fixed else inner.asExpression() or inner.field()
    if isinstance(inner, (list, tuple)):
        kept = [item for item in inner if plain(item) is not None]
        return (kept or None) if inner is value else (value if kept else None)
    if isinstance(inner, str):
        return value if inner.strip() else None
    is_null = getattr(inner, "isNull", None)
    return None if inner is None or (is_null is not None and is_null()) else value


def explain(parameter: Parameter) -> str:
    """Return the help text on a parameter, with its default where there is one."""
    default, text = parameter.documented.get("default"), tr(parameter.help)
    if parameter.kind == "choice":
        default = tr(parameter.words.get(default, default or ""))
    return text if default in (None, "", False) else f"{text} [{default}]"


def define(parameter: Parameter, task: str) -> core.QgsProcessingParameterDefinition:
    """Return the parameter as QGIS knows it, with its default, choices in words and help."""
    kind, optional = KINDS[parameter.kind], parameter.traits != ""
    details = {**kind.declaration(), "optional": optional}
    if parameter.kind in DESTINATIONS:
        wanted = parameter.kind in WANTED or "wanted" in parameter.traits
        details["createByDefault"] = not optional or wanted
    else:
        details["defaultValue"] = parameter.default
    widget = {"decimals": 2} if parameter.kind == "number" else {}
    if parameter.kind == "choice":
        details["options"] = list(parameter.words)
        widget = {"class": ChoiceWidget, "words": {stored: tr(shown) for stored, shown in parameter.words.items()}}
    declared = getattr(core, f"QgsProcessingParameter{kind.type}")(parameter.name, tr(parameter.label), **details)
    declared.setHelp(explain(parameter))
    if widget:
        declared.setMetadata({"widget_wrapper": widget})
    if "advanced" in parameter.traits:
        declared.setFlags(declared.flags() | core.QgsProcessingParameterDefinition.Flag.FlagAdvanced)
    offered = offer(parameter, task)
    if offered:
        declared.setGuiDefaultValueOverride(offered)
    return declared


def offer(parameter: Parameter, task: str) -> str:
    """Return what a form shows at first: the last raster, points and model, and where results go."""
    place = load_table("algorithms.json")["places"].get(f"{task} {parameter.name}")
    if place:
        return str(memory.free_path(memory.default_folder(), *place))
    if parameter.name in ("MASK", "REFERENCE"):
        return memory.recall(memory.MAP) if parameter.name == "MASK" else ""
    asked = "optional" not in parameter.traits or parameter.name == memory.CLASS_FIELD
    key = memory.key_of(task, parameter.name)
    return memory.offered(key) if asked and key else ""


def absolute(path: str) -> str:
    """Return a path that means the same in the child's working directory; models by their folder."""
    chosen = Path(path).absolute()
    return str(chosen.parent if chosen.name == "model.json" else chosen)


class Reader:
    """Reads one algorithm's answers; layers become files that the child can open."""

    def __init__(self, algorithm: Any, answers: dict[str, Any], context: Any) -> None:
        self.algorithm, self.context = algorithm, context
        self.answers = {name: plain(value) for name, value in answers.items()}
        self.layers: dict[str, core.QgsMapLayer] = {}

    def read(self, parameter: Parameter, folder: Path) -> Any:
        """Return one input as text, number, flag or list; None where it is empty."""
        name = parameter.name
        given = self.answers.get(name, plain(self.algorithm.parameterDefinition(name).defaultValue()))
        if given is None:
            return None
        value = plain(self.ask(parameter))
        if value is None:
            refuse("layer_not_opened", name=tr(parameter.label), given=given)
        if parameter.kind == "extent":
            crs = self.algorithm.parameterAsExtentCrs(self.answers, name, self.context)
            raster = self.algorithm.parameterAsRasterLayer(self.answers, "RASTER", self.context)
            crs, value = crs if crs.isValid() else raster.crs(), core.QgsGeometry.fromRect(value)
            value = inputs.layer_of_one("Polygon", crs, value)
        if parameter.kind == "raster":
            self.layers[name] = value
        if parameter.kind == "points":
            layer = self.algorithm.parameterAsVectorLayer(self.answers, name, self.context)
            self.layers.update({name: layer} if layer is not None else {})
        return self.convert(parameter.kind, value, folder / name.lower())

    def convert(self, kind: str, value: Any, folder: Path) -> Any:
        """Turn what QGIS answers into what the command line takes."""
        if kind in ("points", "area", "extent"):
            return str(inputs.export_features(value, folder))
        if kind == "raster":
            return inputs.raster_path(value)
        if kind == "rasters":
            return [inputs.raster_path(layer) for layer in value]
        if kind == "bands":
            return ",".join(map(str, value))
        if kind == "models":
            return [absolute(path) for path in value]
        return absolute(value) if kind in ("file", "folder") else value

    def ask(self, parameter: Parameter) -> Any:
        """Evaluate one parameter by QGIS's own rules."""
        read = getattr(self.algorithm, f"parameterAs{KINDS[parameter.kind].read_as}")
        return read(self.answers, parameter.name, self.context)

    def destination(self, parameter: Parameter) -> str:
        """Return the absolute path of an output; empty where it is not wanted."""
        if parameter.name in self.answers and self.answers[parameter.name] is None:
            return ""
        path = self.ask(parameter)  # once only: every call for a temporary file makes up another
        if path and parameter.kind == "html_out" and Path(path).suffix.lower() not in HTML:
            path = str(Path(path).with_suffix(HTML[0]))
        return absolute(path) if path else ""
