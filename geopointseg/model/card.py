"""The model card: purpose, training data, scores and limits of a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any


def render_card(description: Mapping[str, Any]) -> str:
    """Return the model card as Markdown.

    Parameters
    ----------
    description
        The content of ``model.json``.

    Returns
    -------
    str
        Markdown.

    References
    ----------
    M. Mitchell et al., Model cards for model reporting, FAT* 2019, doi:10.1145/3287560.3287596.
    """
    from jinja2 import Environment, StrictUndefined

    template = files("geopointseg.model").joinpath("card.md.jinja").read_text(encoding="utf-8")
    environment = Environment(  # noqa: S701 # nosec B701 - Markdown, escaped by `_markdown`
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=_markdown,
    )
    return environment.from_string(template).render(
        model=description,
        points=description.get("points", {}),
        scores=description.get("scores", {}),
        scenes=description.get("scenes", []),
        reason=description.get("reason", ""),
        seed=description.get("seed", "unknown"),
        versions=description.get("versions", {}),
    )


def _markdown(value: Any) -> Any:
    """Return a string escaped for a table cell, for any name of a class or a scene: no HTML, link, image or code."""
    if not isinstance(value, str):
        return value
    line = re.sub(r"\s*[\r\n]+\s*", " ", value).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\|`\[\]])", r"\\\1", line)
