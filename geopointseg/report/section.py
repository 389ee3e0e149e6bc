"""What a report is made of: sections of sentences, pictures and tables."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from geopointseg.legend import Legend
from geopointseg.report.figures import figure_png, figure_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Illustration:
    """A figure with what it shows, for readers and for screen readers.

    Parameters
    ----------
    name
        File name without ending, where figures are also saved on their own.
    figure
        The figure.
    description
        What it shows, in a sentence or two: the text that screen readers read out.
    caption
        What stands below it; empty for none.
    is_picture
        Whether it is mostly image (stored as PNG) rather than lines (stored as SVG).
    legend
        Classes whose colours are listed below it.
    """

    name: str
    figure: Figure
    description: str
    caption: str = ""
    is_picture: bool = False
    legend: Legend | None = None

    @property
    def markup(self) -> str:
        """The figure as HTML that needs no other file."""
        import html

        if not self.is_picture:
            return figure_svg(self.figure, self.description)
        data = base64.b64encode(figure_png(self.figure)).decode("ascii")
        label = html.escape(self.description, quote=True)
        return f'<img src="data:image/png;base64,{data}" alt="{label}">'


@dataclass(frozen=True)
class DataTable:
    """A table for people: numbers with a sensible number of digits.

    Parameters
    ----------
    title
        What it shows.
    headings
        One a column.
    rows
        Cells; floats and whole numbers are aligned right, NaN is a dash.
    shares
        Positions of columns that hold shares of one, shown in percent.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]
    shares: Sequence[int] = ()

    @property
    def cells(self) -> list[list[tuple[str, bool]]]:
        """All cells as text, each with whether it is a number."""
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
        What it is.
    note
        What it means or how sure it is.
    """

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a report under its own heading.

    Parameters
    ----------
    title
        The heading.
    sentences
        Paragraphs of plain text.
    points
        A list of sentences.
    illustrations, tables
        What follows the text; tables are folded away where ``folded`` says so.
    warnings
        Sentences set apart, because they may spoil the result.
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
        What it is about.
    tiles
        The numbers that matter most.
    sections
        Its parts in order.
    """

    title: str
    subtitle: str
    tiles: Sequence[Tile] = ()
    sections: Sequence[Section] = field(default_factory=list)
