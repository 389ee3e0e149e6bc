"""Write what is generated: ``reference.json``, the translations, and the zip for upload.

``python -m qgis_plugin.build reference`` asks the installed geopointseg for its options;
``python -m qgis_plugin.build translations`` brings ``i18n/*.ts`` up to date;
``python -m qgis_plugin.build zip [REPOSITORY EMAIL]`` packs ``dist/geopointseg_qgis.zip``, with the
wheel of geopointseg that lies in ``dist`` and the addresses that plugins.qgis.org asks for. Before it,
Qt's ``lrelease qgis_plugin/i18n/*.ts`` makes the compiled translations that go into the zip.
"""

from __future__ import annotations

import ast
import html
import importlib
import json
import re
import sys
import zipfile
from pathlib import Path

from .tasks import HERE, load_table, load_tasks

PACKED = ("*.py", "*.ui", "*.json", "*.svg", "LICENSE", "README.md", "i18n/*.qm")
DEFAULT = re.compile(r"\s*\[default: (.*)\]$")
STRING = re.compile("<string>(.*?)</string>")
MESSAGE = re.compile(r"<source>(.*?)</source>\s*<translation(.*?)>(.*?)</translation>", re.DOTALL)


def reference_text() -> str:
    """Return the library's description of its options; a default said in a help becomes one."""
    described = importlib.import_module("geopointseg.cli.command_reference").describe_commands()
    for command in described["commands"].values():
        for option in command["options"].values():
            said = DEFAULT.search(option["help"])
            if said:
                number = option["type"] in ("integer", "float")
                option["default"] = json.loads(said[1]) if number else said[1]
                option["help"] = DEFAULT.sub("", option["help"])
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


def source_texts() -> list[str]:
    """Return every text that the plugin shows: in its code, in its windows and tables, and the library's help."""
    texts = []
    for path in sorted(HERE.glob("*.py")):
        calls = (n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call))
        named = [call.args[0] for call in calls if getattr(call.func, "id", "") == "tr"]
        texts += [argument.value for argument in named if isinstance(argument, ast.Constant)]
    for path in sorted(HERE.glob("*.ui")):
        texts += map(html.unescape, STRING.findall(path.read_text("utf-8")))
    for task in load_tasks().values():
        texts += [task.group, task.label, task.help, *(output.label for output in task.outputs)]
        texts += [text for p in task.parameters for text in (p.label, p.help)]
        texts += [task.result, task.otherwise, *task.names.values()]
        choices = [p for p in task.parameters if p.kind == "choice"]
        texts += [shown for p in choices for shown in p.words.values()]
    kept, panel = load_table("texts.json"), load_table("panel.json")
    texts += [*load_table("algorithms.json")["stages"], *kept["texts"].values()]
    texts += [*dict(kept["advice"]).values(), *panel["presets"]]
    texts += [text for step in panel["steps"].values() for text in step[1:4]]
    texts += [text for pair in panel["live"].values() for text in pair]
    texts += panel["questions"].values()
    results = (value for step in panel["answers"].values() for value in step.values())
    texts += [value[0] for value in results if isinstance(value, list)]
    texts += [label for classes in panel["presets"].values() for label, _ in classes]
    return sorted({text for text in texts if text})


def translation_text(language: str, old: str) -> str:
    """Return the ``.ts`` of a language: every text, with the translations that were there."""
    known = {html.unescape(source): (state, text) for source, state, text in MESSAGE.findall(old)}
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<!DOCTYPE TS>"]
    lines += [f'<TS version="2.1" language="{language}"><context><name>geopointseg</name>']
    for text in source_texts():
        state, translated = known.get(text, (' type="unfinished"', ""))
        source = html.escape(text, quote=False)
        lines += [f"<message><source>{source}</source>"]
        lines += [f"<translation{state}>{translated}</translation></message>"]
    return "\n".join([*lines, "</context></TS>", ""])


def metadata_text(repository: str = "", email: str = "") -> str:
    """Return the metadata, with the project's addresses where they are given."""
    text = (HERE / "metadata.txt").read_text(encoding="utf-8")
    found = {"repository": repository, "tracker": repository and f"{repository}/issues", "email": email}
    for name, value in found.items():
        text = re.sub(rf"(?m)^{name}=.*", f"{name}={value}", text) if value else text
    return text


def write_zip(*addresses: str) -> None:
    """Pack what QGIS installs, with the newest wheel of geopointseg in ``dist``."""
    Path("dist").mkdir(exist_ok=True)
    target = Path("geopointseg_qgis")
    with zipfile.ZipFile("dist/geopointseg_qgis.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        files = {path for pattern in PACKED for path in HERE.glob(pattern)} - {Path(__file__)}
        for path in sorted(files):
            archive.write(path, target / path.relative_to(HERE))
        archive.writestr(str(target / "metadata.txt"), metadata_text(*addresses))
        for wheel in sorted(Path("dist").glob("geopointseg-*.whl"))[-1:]:
            archive.write(wheel, target / wheel.name)


def main(what: str, *more: str) -> None:
    """Write one of the generated things."""
    if what == "reference":
        (HERE / "reference.json").write_text(reference_text(), encoding="utf-8")
    elif what == "translations":
        for path in HERE.glob("i18n/*.ts"):
            text = translation_text(path.stem.rpartition("_")[2], path.read_text("utf-8"))
            path.write_text(text, encoding="utf-8")
    elif what == "zip":
        write_zip(*more)


if __name__ == "__main__":
    main(*sys.argv[1:])
