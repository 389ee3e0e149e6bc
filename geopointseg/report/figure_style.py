"""Style of figures, drawn with matplotlib without a display, and their conversion to SVG and PNG.

All figures have one style: one text colour, one grey, and colours for classes and highlights. `figure_svg` converts a
figure to SVG with the text colours of the web page, for light and dark pages.
"""

from __future__ import annotations

import functools
import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#1d2733"
MUTED = "#67727e"
FAINT = "#d9dee3"
ACCENT = "#2463a6"
WARM = "#c4501b"

WIDTH_IN = 5.6
"""Width of charts in inches, so that their text has about the size of the text of the page."""

_STYLE: Any = {
    "font.family": "sans-serif",
    "text.parse_math": False,  # names may hold dollar signs
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "geopointseg",
}
_OTHER_SCRIPTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "Microsoft YaHei", "Hiragino Sans GB", "PingFang SC",
    "Malgun Gothic", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Noto Sans Arabic", "Noto Sans Devanagari",
    "Noto Sans Thai", "Noto Sans Ethiopic", "Nirmala UI", "Arial Unicode MS", "Unifont",
)  # fmt: skip
_MARGIN_COLORS = {INK: "var(--ink)", MUTED: "var(--muted)", FAINT: "var(--faint)"}


def styled[**P, R](draw: Callable[P, R]) -> Callable[P, R]:
    """Draw with the common style, and restore the settings of matplotlib."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib as mpl

        with mpl.rc_context(_STYLE | {"font.family": font_families()}):
            return draw(*args, **kwargs)

    return drawn


def literal[**P, R](draw: Callable[P, R]) -> Callable[P, R]:
    """Draw all text as it is: names of bands and files may hold dollar signs, which would begin a formula."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib as mpl

        with mpl.rc_context({"text.parse_math": False}):
            return draw(*args, **kwargs)

    return drawn


def font_families() -> list[str]:
    """Return the fonts of figures: the default one, then installed ones with the letters of other scripts."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["sans-serif", *(name for name in _OTHER_SCRIPTS if name in installed)]


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure of a size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def figure_svg(figure: Figure, description: str) -> str:
    """Return a figure as SVG for a web page, with text as text, in the text colours of the page.

    Parameters
    ----------
    figure
        The figure.
    description
        Content of the figure, for screen readers.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    import html

    import matplotlib as mpl

    stream = io.StringIO()
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing"
        )  # the browser has the fonts of the text
        figure.savefig(
            stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sid="[A-Za-z0-9.]+_[0-9]+"', "", text)
    text = re.sub(r"font: ([^;\"]*?)'?DejaVu Sans'?[^;\"]*", r"font: \1system-ui, sans-serif", text)
    for color, variable in _MARGIN_COLORS.items():
        text = text.replace(color, variable)
    label = html.escape(description, quote=True)
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'

    def opening(
        found: re.Match[str],
    ) -> str:  # a function, because a text would be read as a template
        return f'<svg {names} {found[1]} role="img" aria-label="{label}">'

    return re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", opening, text, count=1)


def figure_png(figure: Figure, dpi: int = 110) -> bytes:
    """Return a figure as PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()
