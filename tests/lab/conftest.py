"""The fixtures of the label tests: layers, scenes and a plain grid."""

from tests.labels.conftest import grid, write_layer, write_scene

__all__ = ["grid", "write_layer", "write_scene"]
