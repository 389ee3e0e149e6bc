"""Live sessions: a click, and the map follows.

`LiveSession` holds imagery, classes and points, and paints views of the map. `geopointseg.live.worker` makes it a process that
speaks JSON lines (see ``docs/live-protocol.md``).
"""
