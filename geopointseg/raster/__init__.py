"""Rasters: their grid, how they are read, their radiometry, and how maps are written."""
