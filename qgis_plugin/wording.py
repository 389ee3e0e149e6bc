"""What the library says, in the words of the forms; and advice on common troubles."""

from __future__ import annotations

import re
import time

from .tasks import Parameter, Task, load_table, load_tasks
from .translation import tr

COMMAND = re.compile(r"['`]geopointseg ([a-z]+)(?: ([a-z]+))?([^'`]*)['`]")
IN_PYTHON = re.compile(r",? ?(?:or |\()[\w.]+=\w* in Python\)?")
EXAMPLE = re.compile(r" ?\((?:with|from) -[a-z]\b[^)]*\)")
OPTION = re.compile(r"(['`]?)(--[a-z][a-z-]+)(?:[ =]([\w.]+))?\1")
MAIN = ("train", "predict", "assess", "suggest")
OF_SEVERAL = ("train", "pretrain", "predict", "assess", "suggest")  # commands of several stages
WHOLE = {"validate": "validate", "study": "study"}  # commands with stages inside of stages
SURE_AFTER_S, SAID_EVERY_S = 5.0, 15.0


def in_words(text: str, task: Task | None) -> str:
    """Return a sentence of the library with tools and fields instead of commands and options."""
    text = COMMAND.sub(_tool, EXAMPLE.sub("", IN_PYTHON.sub("", text)))
    return OPTION.sub(lambda found: _field(found, task), text)


def _tool(found: re.Match[str]) -> str:
    tasks, rest = load_tasks(), found[3] or ""
    if "--design" in f"{found[2] or ''}{rest}":
        return f"'{tr(tasks['drawsample'].label)}'"
    for words in ((found[1], found[2]), (found[1],)):
        for task in tasks.values():
            if tuple(task.command) == words:
                return f"'{tr(task.label)}'"
    return f"'{found[1]}'"


def _field(found: re.Match[str], task: Task | None) -> str:
    option, value = found[2], found[3]
    own = list(task.parameters) if task is not None else []
    every = own + [p for other in load_tasks().values() for p in other.parameters]
    field = next((p for p in every if option in p.option.split("/")), None)
    name = tr(field.label) if field is not None else option.strip("-").replace("-", " ")
    shown = _value(field, value)
    rest = f" {value}" if value and not shown and not found[1] else ""
    return f"'{name}{shown}'{rest}"


def _value(field: Parameter | None, value: str | None) -> str:
    if field is None or value is None:
        return ""
    if field.kind == "choice":
        return f": {tr(field.words[value])}" if value in field.words else ""
    return f": {value}" if value.replace(".", "").isdigit() else ""


def advice(text: str) -> str:
    """Return what to do about a common trouble of machines and networks, or an empty string."""
    return next((tr(said) for pattern, said in load_table("texts.json")["advice"] if re.search(pattern, text)), "")


def duration(seconds: float) -> str:
    """Return a time in words that suit its length."""
    if seconds < 50:
        return tr("{number} s").format(number=10 * max(round(seconds / 10), 1))
    if seconds < 90 * 60:
        return tr("{number} min").format(number=round(seconds / 60) or 1)
    return tr("{number} h").format(number=f"{seconds / 3600:.1f}")


class Pace:
    """Makes one progress of all stages of a run: it only rises; and estimates the time left."""

    def __init__(self, command: str = "") -> None:
        self.whole, self.several = WHOLE.get(command, ""), command in OF_SEVERAL
        self.percent = 0.0
        self._stage, self._base, self._from, self._said = "", 0.0, 0.0, 0.0

    def move(self, stage: str, fraction: float, message: str = "") -> str:
        """Note how far a stage is; return what to say about it, or an empty string."""
        if self.whole and stage != self.whole:
            return ""
        now, fresh = time.monotonic(), stage != self._stage
        if fresh:
            self._stage, self._base, self._from = stage, self.percent, now
        part = (0.9 if stage in MAIN else 0.1) if self.several else 1.0
        share = part * (100.0 - self._base)
        self.percent = max(self.percent, self._base + share * min(max(fraction, 0.0), 1.0))
        spent = now - self._from
        sure = (stage in MAIN or not self.several) and spent > SURE_AFTER_S and 0.02 < fraction < 1.0
        if not fresh and not (sure and now - self._said > SAID_EVERY_S):
            return ""
        self._said = now
        left = tr("about {time} left", time=duration(spent * (1.0 - fraction) / fraction)) if sure else ""
        return ": ".join([tr(stage), *filter(None, [message, left])])
