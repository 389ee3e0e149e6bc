"""Sentences of the library in the words of the forms, advice on troubles, and one progress with the time left."""

import unittest
from unittest import mock

from qgis_plugin import wording
from qgis_plugin.tasks import load_tasks
from qgis_plugin.wording import Pace, advice, duration, in_words

from support import QgisTestCase

SAID = {
    "name it with --class-field (class_field= in Python).": "name it with 'Field with the class'.",
    "choose another field with --class-field or renumber": "choose another field with 'Field with the class' or renumber",
    "or use --force (force=True in Python), and": "or use 'Allow points that trained the model', and",
    "hold out by blocks ('geopointseg points split').": "hold out by blocks ('Split points into training and test').",
    "('geopointseg assess MAP.tif --design 300 -o sample.gpkg' draws some)": "('Draw a test sample' draws some)",
    "check with 'geopointseg points check' that": "check with 'Check points' that",
    "ask for a network with '--model network'.": "ask for a network with 'Kind of model: Neural network'.",
    "use '--device cpu' or '--device auto'.": "use 'Processor: Processor (CPU)' or 'Processor: Graphics card where there is one'.",
    "start it without '--resume'": "start it without 'Go on with a stopped training'",
    "the points; name it with --layer (layer= in Python).": "the points; name it with 'layer'.",
    "Give it more '--minutes'.": "Give it more 'Longest training time (minutes)'.",
    "a sentence - with a dash, 2024-05-01 and band -1": "a sentence - with a dash, 2024-05-01 and band -1",
}
TROUBLES = {
    "OSError: [Errno 28] No space left on device": "The disk is full",
    "ImportError: DLL load failed while importing _C": "Redistributable",
    "OSError: [WinError 126] ... c10.dll": "Redistributable",
    "PermissionError: [WinError 5] Access is denied": "virus scanner",
    "[Errno 13] Permission denied: '/x'": "virus scanner",
    "OSError: [WinError 206] The filename or extension is too long": "too long for Windows",
    "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]": "certificate",
    "ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407": "proxy refused",
    "Temporary failure in name resolution": "network cannot be reached",
    "RuntimeError: CUDA out of memory": "Memory ran out",
    "Layer 'plots' has no CRS.": "",
}


class WordingTest(QgisTestCase):
    def test_commands_and_options_become_tools_and_fields(self):
        tasks = load_tasks()
        for sentence, expected in SAID.items():
            task = tasks["assessmap" if "--force" in sentence else "trainmodel"]
            with self.subTest(sentence=sentence):
                self.assertEqual(in_words(sentence, task), expected)

    def test_troubles_are_named(self):
        for reason, expected in TROUBLES.items():
            with self.subTest(reason=reason):
                self.assertIn(expected, advice(reason))
                self.assertIs(bool(advice(reason)), bool(expected))

    def test_one_progress_of_many_stages_rises(self):
        pace, seen = Pace("train"), []
        for stage in ("read", "forest", "train", "forest", "predict"):
            for fraction in (0.0, 0.5, 1.0, 0.2):
                pace.move(stage, fraction)
                seen.append(pace.percent)
        self.assertEqual(seen, sorted(seen))
        self.assertGreater(seen[-1], seen[0])
        self.assertLessEqual(seen[-1], 100.0)

    def test_stages_inside_of_a_validation_do_not_move_it(self):
        pace = Pace("validate")
        for stage in ("train", "forest"):
            self.assertEqual(pace.move(stage, 1.0), "")
        self.assertEqual(pace.percent, 0.0)
        pace.move("validate", 0.5)
        self.assertEqual(pace.percent, 50.0)

    def test_the_time_left(self):
        with mock.patch.object(wording.time, "monotonic", side_effect=[100.0, 110.0, 112.0, 160.0]):
            pace = Pace("train")
            said = [pace.move("train", fraction) for fraction in (0.0, 0.1, 0.12, 0.5)]
        self.assertEqual(said[0], "train")
        self.assertEqual(said[1:], ["", "", "train: about 1 min left"])

    def test_durations(self):
        said = [duration(seconds) for seconds in (1, 34, 60, 700, 9000)]
        self.assertEqual(said, ["10 s", "30 s", "1 min", "12 min", "2.5 h"])


if __name__ == "__main__":
    unittest.main()
