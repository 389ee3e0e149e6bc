"""Kinds of parameters: how QGIS asks for each, and how its answer is read."""

from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from processing.gui.wrappers import WidgetWrapperFactory
from qgis import core
from qgis.PyQt import QtWidgets

from . import inputs, memory
from .tasks import Parameter, load_table
from .translation import refuse, tr


class Kind(NamedTuple):
    """A kind of parameter: QGIS's class, the ``parameterAs...`` that reads it, how it is declared."""

    type: str
    read_as: str
    details: dict[str, Any] = {}  # noqa: RUF012  never changed

    def declaration(self) -> dict[str, Any]:
        """Return the details with members of QGIS's enumerations in place of their names, which begin with ``Qgs``."""

        def member(value: Any) -> Any:
            return attrgetter(value)(core) if str(value).startswith("Qgs") else value

        lists = {key: [member(one) for one in value] for key, value in self.details.items() if isinstance(value, list)}
        return {**{key: member(value) for key, value in self.details.items()}, **lists}


# a file filter "*.*", QGIS's own, refuses names without a dot, such as python3; a filter *.html would have
# a refused run announce the report
KINDS = {name: Kind(*row) for name, row in load_table("algorithms.json")["kinds"].items()}
DESTINATIONS = {name for name in KINDS if name.endswith("_out")}
CLASS_MAPS = ("MAP", "MASK", "REFERENCE")  # rasters of class codes
HTML, WANTED = (".html", ".htm", ".xhtml"), ("html_out", "part_out")  # wanted: optional, but made where nobody says no


class TakesScenes:
    """A raster parameter that also takes files and folders of embeddings or bands, which only the library opens."""

    def checkValueIsAcceptable(self, value: Any, context: Any = None) -> bool:
        """Leave to QGIS what is no such file or folder."""
        items = value if isinstance(value, list) else [value]
        layers = [item for item in items if not inputs.scene_of(item)]
        rest = layers if isinstance(value, list) else value
        return bool((items and not layers) or super().checkValueIsAcceptable(rest, context))


SCENES = {
    "raster": type("Raster", (TakesScenes, core.QgsProcessingParameterRasterLayer), {}),
    "rasters": type("Rasters", (TakesScenes, core.QgsProcessingParameterMultipleLayers), {}),
}


class Field:
    """Makes QGIS's own field, and adds to it: choices in words, or a button that chooses a folder as a scene."""

    def __new__(cls, declared: Any, dialog: Any, *place: int, words: Any = None) -> Any:
        metadata = declared.metadata()
        declared.setMetadata({})
        field = WidgetWrapperFactory.create_wrapper(declared, dialog, *place)
        declared.setMetadata(metadata)
        make = getattr(field, "createWrappedWidget", None)
        if words and make is None:
            name_choices(field, words)
        elif isinstance(declared, core.QgsProcessingParameterBand):
            field.setWidgetContext = lambda _context: None  # QGIS would complain of a scene that it cannot open
        elif make is not None:
            add = (lambda widget, _context: name_choices(widget, words)) if words else partial(add_folder_button, field)
            field.createWrappedWidget = lambda context: add(make(context), context)
        return field


def name_choices(widget: QtWidgets.QWidget, words: dict[str, str]) -> QtWidgets.QWidget:
    """Show choices in words; what is stored stays."""
    for box in (widget, *widget.findChildren(QtWidgets.QComboBox)):
        if isinstance(box, QtWidgets.QComboBox) and box.findData(next(iter(words))) >= 0:
            box.removeItem(box.findData(None))  # "not selected", where QGIS offers it
            for index in range(box.count()):
                box.setItemText(index, words[box.itemData(index)])
    return widget


def add_folder_button(field: Any, widget: QtWidgets.QWidget, context: Any) -> QtWidgets.QWidget:
    """Put the button beside the field; QGIS's list of layers drops folders, so the button keeps them and counts them."""
    several, text, folders = isinstance(field.parameterDefinition(), SCENES["rasters"]), tr("Folder…"), []
    put, value, title = field.setParameterValue, field.parameterValue, tr("Folder of embeddings or bands")
    button = QtWidgets.QToolButton(objectName="folder", text=text, toolTip=title)

    def take(answer: Any, context: Any) -> None:
        items = answer if isinstance(answer, list) else []
        folders[:] = [item for item in items if inputs.scene_of(item)]
        put([item for item in items if item not in folders], context)
        button.setText(f"{text} ({len(folders)})" if folders else text)

    def choose() -> None:
        folder = QtWidgets.QFileDialog.getExistingDirectory(widget, title)
        if several:  # none: those that were chosen before are given up
            take([*(value() or []), *folders, folder] if folder else value(), context)
        elif folder:
            put(folder, context)

    if several:
        field.setParameterValue, field.parameterValue = take, lambda: [*(value() or []), *folders] or None
    button.clicked.connect(lambda _checked: choose())
    if widget.layout() is not None:
        (widget.layout().itemAt(0).layout() or widget.layout()).addWidget(button)
    return widget


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
        widget = {"class": Field, "words": {stored: tr(shown) for stored, shown in parameter.words.items()}}
    if parameter.kind in ("raster", "rasters", "bands") and parameter.name not in CLASS_MAPS:
        widget = {"class": Field}
    make = SCENES.get(parameter.kind) or getattr(core, f"QgsProcessingParameter{kind.type}")
    declared = make(parameter.name, tr(parameter.label), **details)
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
            crs = crs if crs.isValid() else (raster or self.context.project()).crs()
            value = inputs.layer_of_one("Polygon", crs, core.QgsGeometry.fromRect(value))
        if isinstance(value, core.QgsRasterLayer):
            self.layers[name] = value
        if parameter.kind == "points":
            layer = self.algorithm.parameterAsVectorLayer(self.answers, name, self.context)
            self.layers.update({name: layer} if layer is not None else {})
        return self.convert(parameter.kind, value, folder / name.lower())

    def convert(self, kind: str, value: Any, folder: Path) -> Any:
        """Turn what QGIS answers into what the command line takes."""
        if kind in ("points", "area", "extent"):
            return str(inputs.export_features(value, folder))
        if kind in ("raster", "rasters"):
            paths = [inputs.raster_path(item) for item in (value if isinstance(value, list) else [value])]
            return paths if kind == "rasters" else paths[0]
        if kind == "bands":
            return ",".join(map(str, value))
        if kind == "models":
            return [absolute(path) for path in value]
        return absolute(value) if kind in ("file", "folder") else value

    def ask(self, parameter: Parameter) -> Any:
        """Evaluate one parameter by QGIS's own rules."""
        read = getattr(self.algorithm, f"parameterAs{KINDS[parameter.kind].read_as}")
        given, name = self.answers.get(parameter.name), parameter.name
        items = given if isinstance(given, list) else [given]
        scenes = [item for item in items if parameter.kind in SCENES and inputs.scene_of(item)]
        layers = [item for item in items if item not in scenes]
        if not scenes:
            return read(self.answers, name, self.context)
        found = scenes + (read({**self.answers, name: layers}, name, self.context) if layers else [])
        return found if isinstance(given, list) else given

    def destination(self, parameter: Parameter) -> str:
        """Return the absolute path of an output; empty where it is not wanted."""
        if parameter.name in self.answers and self.answers[parameter.name] is None:
            return ""
        path = self.ask(parameter)  # once only: every call for a temporary file makes up another
        if path and parameter.kind == "html_out" and Path(path).suffix.lower() not in HTML:
            path = str(Path(path).with_suffix(HTML[0]))
        return absolute(path) if path else ""
