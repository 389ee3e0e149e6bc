"""Kinds of parameters: how QGIS asks for each, and how its answer is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from qgis import core

from . import inputs
from .tasks import Parameter
from .translation import tr

Source, Number = core.QgsProcessing.SourceType, core.QgsProcessingParameterNumber.Type
FOLDER = {"behavior": core.QgsProcessingParameterFile.Behavior.Folder}


class Kind(NamedTuple):
    """A kind of parameter: QGIS's class, the ``parameterAs...`` that reads it, how it is declared."""

    type: str
    read_as: str
    details: dict[str, Any] = {}  # noqa: RUF012  never changed


INPUTS = {
    "points": Kind("FeatureSource", "Source", {"types": [Source.TypeVectorAnyGeometry]}),
    "area": Kind("FeatureSource", "Source", {"types": [Source.TypeVectorPolygon]}),
    "extent": Kind("Extent", "Extent"),
    "field": Kind("Field", "String", {"parentLayerParameterName": "POINTS"}),
    "rasters": Kind("MultipleLayers", "LayerList", {"layerType": Source.TypeRaster}),
    "bands": Kind("Band", "Ints", {"parentLayerParameterName": "RASTER", "allowMultiple": True}),
    "models": Kind("MultipleLayers", "FileList", {"layerType": Source.TypeFile}),
    "raster": Kind("RasterLayer", "RasterLayer"),
    "integer": Kind("Number", "Int", {"type": Number.Integer}),
    "number": Kind("Number", "Double", {"type": Number.Double}),
    "choice": Kind("Enum", "EnumString", {"usesStaticStrings": True}),
    "flag": Kind("Boolean", "Bool"),
    "text": Kind("String", "String"),
    "file": Kind("File", "String"),
    "folder": Kind("File", "String", FOLDER),
}
DESTINATIONS = {
    "points_out": Kind("VectorDestination", "OutputLayer"),
    "raster_out": Kind("RasterDestination", "OutputLayer"),
    "ramp_out": Kind("RasterDestination", "OutputLayer"),
    "folder_out": Kind("FolderDestination", "FileOutput"),
    "html_out": Kind("FileDestination", "FileOutput", {"fileFilter": "HTML (*.html)"}),
}
KINDS = {**INPUTS, **DESTINATIONS}


def explain(parameter: Parameter) -> str:
    """Return the library's help text on a parameter, with its default where there is one."""
    default, text = parameter.documented.get("default"), tr(parameter.help)
    return text if default in (None, "", False) else f"{text} [{default}]"


def define(parameter: Parameter) -> core.QgsProcessingParameterDefinition:
    """Return the parameter as QGIS knows it, with the library's default, choices and help."""
    kind, optional = KINDS[parameter.kind], parameter.traits != ""
    details = {**kind.details, "optional": optional}
    if parameter.kind in DESTINATIONS:
        details["createByDefault"] = not optional or parameter.kind == "html_out"
    else:
        details["defaultValue"] = parameter.default
    if parameter.kind == "choice":
        details["options"] = parameter.documented["choices"]
    declare = getattr(core, f"QgsProcessingParameter{kind.type}")
    declared = declare(parameter.name, tr(parameter.label), **details)
    declared.setHelp(explain(parameter))
    if parameter.kind == "number":
        declared.setMetadata({"widget_wrapper": {"decimals": 2}})
    if "advanced" in parameter.traits:
        advanced = core.QgsProcessingParameterDefinition.Flag.FlagAdvanced
        declared.setFlags(declared.flags() | advanced)
    return declared


def absolute(path: str) -> str:
    """Return a path that means the same in the child's working directory; models by their folder."""
    chosen = Path(path).absolute()
    return str(chosen.parent if chosen.name == "model.json" else chosen)


class Reader:
    """Reads one algorithm's answers; layers become files that the child can open."""

    def __init__(self, algorithm: Any, answers: dict[str, Any], context: Any) -> None:
        self.algorithm, self.answers, self.context = algorithm, answers, context

    def read(self, parameter: Parameter, folder: Path) -> Any:
        """Return one input as text, number, flag or list; None where it is empty."""
        name = parameter.name
        given = self.answers.get(name, self.algorithm.parameterDefinition(name).defaultValue())
        if given is None or given in ("", []):
            return None
        value = self.ask(parameter)
        if value is None:
            message = tr("The layer for '{name}' cannot be opened: {given}. Choose another one.")
            raise core.QgsProcessingException(message.format(name=name, given=given))
        if parameter.kind == "extent":
            crs = self.algorithm.parameterAsExtentCrs(self.answers, name, self.context)
            raster = self.algorithm.parameterAsRasterLayer(self.answers, "RASTER", self.context)
            value = inputs.extent_layer(value, crs if crs.isValid() else raster.crs())
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
        path = self.ask(parameter)  # once only: every call for a temporary file makes up another
        return absolute(path) if path else ""
