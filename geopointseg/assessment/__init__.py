"""How accurate a map is, how sure one can be of it, and where more points would help.

Nothing here imports torch: a map can be assessed on a machine that has only the map and the test points.
"""
