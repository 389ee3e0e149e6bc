"""The `geopointseg` command: parses arguments, calls one library function, prints its result.

Nothing heavy is imported before a command runs, so that ``geopointseg --help`` answers at once.
"""

from geopointseg.cli.app import main

__all__ = ["main"]
