"""Radiometric matching of scenes: distributions, histogram matching, invariant pixels."""
