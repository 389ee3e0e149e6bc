"""Rasters: grids, coordinates, reading of raster files, and writing of class maps."""
