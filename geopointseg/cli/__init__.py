"""The `geopointseg` command: each command parses its arguments, calls a library function and prints the result.

Large packages are imported when a command runs, so that ``geopointseg --help`` is fast.
"""

from geopointseg.cli.app import main

__all__ = ["main"]
