"""Formulas as MathML, made at build time by docutils: no script is loaded, and no LaTeX is needed."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx

ACCENTED = re.compile(
    r'<munderover>\s*(<mi>.*?</mi>)\s*(.*?)\s*(<mo stretchy="false">.</mo>)\s*</munderover>',
    re.DOTALL,
)
"""docutils sets the index of an accented letter below it, as that of a sum."""


def _mathml(tex: str, *, as_block: bool) -> str:
    text = latex2mathml.tex2mathml(tex, as_block=as_block)
    return ACCENTED.sub(r"<msub><mover>\1\3</mover>\2</msub>", text)


def _visit_inline(translator: Any, node: nodes.Element) -> None:
    translator.body.append(_mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def _visit_block(translator: Any, node: nodes.Element) -> None:
    formula = _mathml(node.astext(), as_block=True)
    translator.body.append(f'<div class="math">{formula}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    return {"version": "1", "parallel_read_safe": True}
