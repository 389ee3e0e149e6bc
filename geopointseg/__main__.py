"""Run the command line by ``python -m geopointseg``."""

from geopointseg.cli import main

if __name__ == "__main__":
    main()
