"""Parts of a report: sections of sentences, figures and tables."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from geopointseg.legend import Legend
from geopointseg.report.figure_style import figure_png, figure_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Illustration:
    """A figure with its caption and its description for screen readers.

    Parameters
    ----------
    name
        File name without suffix, for saving the figure.
    figure
        The figure.
    description
        Content of the figure in one or two sentences, for screen readers.
    caption
        Text below the figure; empty for none.
    is_picture
        Whether it is an image (stored as PNG) and not a chart (stored as SVG).
    legend
        Classes whose colours are listed below the figure.
    """

    name: str
    figure: Figure
    description: str
    caption: str = ""
    is_picture: bool = False
    legend: Legend | None = None

    @property
    def markup(self) -> str:
        """The figure as self-contained HTML."""
        import html

        if not self.is_picture:
            return figure_svg(self.figure, self.description)
        data = base64.b64encode(figure_png(self.figure)).decode("ascii")
        label = html.escape(self.description, quote=True)
        return f'<img src="data:image/png;base64,{data}" alt="{label}">'


@dataclass(frozen=True)
class DataTable:
    """A table with rounded numbers.

    Parameters
    ----------
    title
        Title of the table.
    headings
        One for each column.
    rows
        Cells; numbers are aligned right, NaN is a dash.
    shares
        Positions of columns with shares of 1, shown in percent.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]
    shares: Sequence[int] = ()

    @property
    def cells(self) -> list[list[tuple[str, bool]]]:
        """Text of all cells, each with a flag whether it is a number."""
        return [
            [self._cell(value, position) for position, value in enumerate(row)] for row in self.rows
        ]

    def _cell(self, value: Any, position: int) -> tuple[str, bool]:
        if isinstance(value, str):
            return value, False
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return "-", True
        if position in self.shares:
            return f"{100 * value:.1f} %", True
        if isinstance(value, float):
            return f"{value:#.3g}" if abs(value) < 100 else f"{value:,.0f}", True
        return f"{value:,}", True


@dataclass(frozen=True)
class Tile:
    """One number in large type.

    Parameters
    ----------
    value
        The number, with its unit.
    label
        Name of the number.
    note
        Explanation or uncertainty.
    """

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Parameters
    ----------
    title
        The heading.
    sentences
        Paragraphs of plain text.
    points
        A list of sentences.
    illustrations, tables
        Figures and tables after the text.
    warnings
        Highlighted sentences about what may impair the result.
    folded
        Whether tables are hidden until the reader opens them.
    """

    title: str
    sentences: Sequence[str] = ()
    points: Sequence[str] = ()
    illustrations: Sequence[Illustration] = ()
    tables: Sequence[DataTable] = ()
    warnings: Sequence[str] = ()
    folded: bool = False

    @property
    def anchor(self) -> str:
        """The heading as a link target."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())


@dataclass(frozen=True)
class Document:
    """A whole report.

    Parameters
    ----------
    title, subtitle
        Headings.
    tiles
        The most important numbers.
    sections
        Sections in order.
    """

    title: str
    subtitle: str
    tiles: Sequence[Tile] = ()
    sections: Sequence[Section] = field(default_factory=list)
