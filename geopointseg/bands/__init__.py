"""Bands of scenes: names, formulas, and how files are opened, sorted and stacked."""
