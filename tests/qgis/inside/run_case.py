"""Run one file of tests in QGIS's Python and leave without QGIS's own tidying up, which may crash."""

import os
import sys
import unittest

import support

assert support.APPLICATION
suite = unittest.defaultTestLoader.loadTestsFromName(sys.argv[1])
result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
sys.stdout.flush()
sys.stderr.flush()
os._exit(0 if result.wasSuccessful() and result.testsRun else 1)
