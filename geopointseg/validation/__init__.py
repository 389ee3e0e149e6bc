"""Validation of models: cross-validation, area of applicability, suggestion of points, and their reports."""
