"""Rasters: grids, coordinates, reading of raster files, and writing of class maps.

The modules of embeddings are imported here, because they extend what `Scene.open` opens.
"""

from geopointseg.raster import embedding, embedding_grid

__all__ = ["embedding", "embedding_grid"]
