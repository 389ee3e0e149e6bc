"""All settings together: read from TOML, changed, checked, and written."""

from __future__ import annotations

import dataclasses
import os
import typing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from geopointseg.config.prediction_config import PredictionConfig
from geopointseg.config.scene_config import AugmentationConfig, SamplingConfig, SceneConfig
from geopointseg.config.training_config import (
    ForestConfig,
    LossConfig,
    ModelConfig,
    OptimizationConfig,
    PretrainingConfig,
    SelectionConfig,
    TeachingConfig,
)
from geopointseg.errors import ConfigError, nearest_names
from geopointseg.input_file import read_toml
from geopointseg.setting import check_values, format_toml, update_section
from geopointseg.source_policy import require_local_name
from geopointseg.summary import described, join_names


@described
@dataclass(frozen=True)
class Config:
    """All settings, one section each; the same structure as the TOML file.

    Examples
    --------
    >>> Config().loss.gamma
    1.0
    >>> Config().updated({"loss": {"gamma": 2}}).loss.gamma
    2.0

    Raises
    ------
    ConfigError
        If a value is of another type or out of range.
    """

    model: ModelConfig = ModelConfig()
    scene: SceneConfig = SceneConfig()
    sampling: SamplingConfig = SamplingConfig()
    loss: LossConfig = LossConfig()
    optimization: OptimizationConfig = OptimizationConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    forest: ForestConfig = ForestConfig()
    teaching: TeachingConfig = TeachingConfig()
    selection: SelectionConfig = SelectionConfig()
    pretraining: PretrainingConfig = PretrainingConfig()
    prediction: PredictionConfig = PredictionConfig()

    def _summary(self) -> list[str]:
        usual = Config().to_dict()
        changed = [
            f"{section}.{name} = {value!r}"
            for section, values in self.to_dict().items()
            for name, value in values.items()
            if value != usual[section][name]
        ]
        return [f"Config: {join_names(changed) or 'all settings as by default'}"]

    def _table(self) -> tuple[list[str], list[list[object]]]:
        usual = Config().to_dict()
        rows: list[list[object]] = [
            [section, name, value, usual[section][name]]
            for section, values in self.to_dict().items()
            for name, value in values.items()
            if value != usual[section][name]
        ]
        return ["section", "setting", "value", "default"], rows

    def __post_init__(self) -> None:
        for section in dataclasses.fields(self):
            value = getattr(self, section.name)
            check_values(section.name, type(value), vars(value))

    def on_device(self, kind: str) -> Config:
        """Return the settings with the defaults that depend on the kind of device, ``cpu`` or ``cuda``."""
        return replace(self, sampling=self.sampling.on_device(kind))

    @classmethod
    def read(cls, path: str | Path) -> Config:
        """Read settings from a TOML file; settings that it does not name keep their default.

        Raises
        ------
        InputFileError
            If the file is missing or not TOML.
        ConfigError
            If a section, name or value is unknown or out of range; the message names the nearest ones.
        """
        expected = "sections like [loss] with lines like gamma = 1.0"
        config = cls().updated(read_toml(path, "settings file", expected))
        for name in filter(None, (config.scene.companion, config.scene.reference)):
            require_local_name(os.path.abspath(path), name)  # noqa: PTH100 - as for all origins
        return config

    def updated(self, values: dict[str, Any]) -> Config:
        """Return a copy with some settings changed, checked like those of a file.

        Parameters
        ----------
        values
            ``{section: {name: value}}``.

        Raises
        ------
        ConfigError
            If a section, name or value is unknown or out of range.
        """
        sections = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name, changes in values.items():
            if name not in sections:
                raise ConfigError(
                    f"There is no section [{name}] in the settings. {nearest_names(name, sections)}"
                )
            if not isinstance(changes, dict):
                raise ConfigError(
                    f"[{name}] holds {changes!r}. Expected a section with named settings."
                )
            sections[name] = update_section(name, sections[name], changes)
        return Config(**sections)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return all settings as ``{section: {name: value}}``, ready for JSON or TOML."""
        return {
            f.name: {
                k: list(v) if isinstance(v, tuple) else v
                for k, v in vars(getattr(self, f.name)).items()
            }
            for f in dataclasses.fields(self)
        }

    def to_toml(self) -> str:
        """Return all settings as TOML, each with its help text as a comment."""
        lines: list[str] = []
        for section in dataclasses.fields(self):
            value = getattr(self, section.name)
            lines += [f"[{section.name}]"]
            for f in dataclasses.fields(value):
                lines += [
                    f"# {f.metadata['help']}",
                    f"{f.name} = {format_toml(getattr(value, f.name))}",
                ]
            lines += [""]
        return "\n".join(lines)


def help_text(section: str, name: str) -> str:
    """Return the help text of one setting."""
    return str(_field(section, name).metadata["help"])


def default_value(section: str, name: str) -> Any:
    """Return the default of one setting."""
    return _field(section, name).default


def choices(section: str, name: str) -> tuple[str, ...]:
    """Return the values that a setting may take; empty where it is not a choice."""
    hint = typing.get_type_hints(type(getattr(Config(), section)))[name]
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()


def _field(section: str, name: str) -> dataclasses.Field[Any]:
    return next(f for f in dataclasses.fields(getattr(Config(), section)) if f.name == name)
