"""Figures and documents that show results."""
