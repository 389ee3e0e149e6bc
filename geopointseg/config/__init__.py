"""Every setting of geopointseg: its default, its help text and its range, in one place.

The settings are frozen dataclasses, one for each section of a TOML file. The command line, the QGIS forms and the
documentation take defaults and help texts from here.
"""

from geopointseg.config.prediction_config import PredictionConfig
from geopointseg.config.scene_config import (
    CHIP_SIZES,
    SMALLEST_CHIP,
    AugmentationConfig,
    SamplingConfig,
    SceneConfig,
)
from geopointseg.config.sections import Config, choices, default_value, help_text
from geopointseg.config.training_config import (
    ForestConfig,
    LossConfig,
    ModelConfig,
    OptimizationConfig,
    PretrainingConfig,
    SelectionConfig,
    TeachingConfig,
)

__all__ = [
    "CHIP_SIZES",
    "SMALLEST_CHIP",
    "AugmentationConfig",
    "Config",
    "ForestConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizationConfig",
    "PredictionConfig",
    "PretrainingConfig",
    "SamplingConfig",
    "SceneConfig",
    "SelectionConfig",
    "TeachingConfig",
    "choices",
    "default_value",
    "help_text",
]
