"""The synthetic landscape under the name that examples use; defined in `geopointseg.lab.synthetic_landscape`."""

from geopointseg.lab.synthetic_landscape import Landscape, draw_points, make_landscape, write_scene

__all__ = ["Landscape", "draw_points", "make_landscape", "write_scene"]
