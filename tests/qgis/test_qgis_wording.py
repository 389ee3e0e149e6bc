"""Messages of the library in QGIS: no option, argument or function is named there."""

from __future__ import annotations

import json
import re
import subprocess

from geopointseg.cli.option_names import in_options
from geopointseg.message_catalogue import find_messages
from tests.qgis.conftest import REPOSITORY
from tests.qgis.qgis_installation import Qgis

PROGRAM = """
import json, sys
from qgis_plugin.tasks import load_tasks
from qgis_plugin.wording import in_words
tasks = [None, *load_tasks().values()]
said = json.load(sys.stdin)
print(json.dumps([[in_words(text, task) for text in said] for task in tasks]))
"""


def test_no_message_names_an_option_in_qgis(qgis: Qgis) -> None:
    found = [
        m for m in find_messages() if m.module != "cli/setting_options.py"
    ]  # no form has --set
    messages = [in_options(message.text, for_a_form=True) for message in found]
    messages = [text for text in messages if "`" in text or "--" in text or "geopointseg" in text]
    assert len(messages) > 40
    done = subprocess.run(
        [qgis.python, "-c", PROGRAM], input=json.dumps(messages), cwd=REPOSITORY, env=qgis.environment, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    for said in json.loads(done.stdout):
        assert len(said) == len(messages)
        found = [
            text for text in said if re.search(r"--[a-z]|`|\b[a-z_]+=|'geopointseg [a-z]", text)
        ]
        assert found == []
