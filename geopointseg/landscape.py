"""The synthetic landscape under the name that examples use; see `geopointseg.lab.landscape`."""

from geopointseg.lab.landscape import Landscape, draw_points, make_landscape, write_scene

__all__ = ["Landscape", "draw_points", "make_landscape", "write_scene"]
