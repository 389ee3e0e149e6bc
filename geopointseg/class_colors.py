"""Colours for classes: those that maps of land cover usually give them, and others that stay apart.

A map with blue forest and red water is misread, so classes with a common name get the colour that readers expect.
All other classes take what is left of a palette that colour-blind readers can tell apart.
"""

from __future__ import annotations

import colorsys
import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence

# Paul Tol's "bright" and "muted" schemes, reordered so that the first colours differ most for readers with any
# form of colour blindness (P. Tol, "Colour Schemes", SRON/EPS/TN/09-002, issue 3.2, 2021).
_PALETTE = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb",
    "#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499",
)  # fmt: skip

# Words of English, German, French and Spanish; the first class with a word of the name counts. Else a name's word may
# also end with one of four letters or more (Nadelwald, greenhouse).
_USUAL = (
    ("#777777", "road street paved asphalt pavement highway impervious parking strasse straße weg route chaussée carretera camino"),
    ("#c8a27a", "bare barren soil sand beach dune sediment gravel rock unpaved clearcut deforested boden fels sable roche suelo arena roca"),
    ("#117733", "forest tree trees wood woods woodland conifer coniferous broadleaf deciduous evergreen wald baum bäume forêt arbre bosque árbol"),
    ("#44aa99", "wetland swamp marsh bog mangrove reed peat feuchtgebiet moor marais tourbière humedal manglar"),
    ("#4477aa", "water lake river sea ocean pond stream reservoir canal wasser gewässer fluss see meer eau lac rivière agua río lago"),
    ("#ddcc77", "crop crops cropland agriculture agricultural arable farmland field fields maize wheat rice acker ackerland culture champ cultivo"),
    ("#88bb55", "grass grassland meadow pasture herbaceous lawn rangeland vegetation wiese grünland weide rasen plants prairie herbe pasto pradera"),
    ("#999933", "shrub shrubs shrubland scrub bush heath orchard vineyard busch gebüsch heide buisson matorral arbusto"),
    ("#cc3344", "building buildings urban developed built settlement house roof city gebäude siedlung haus bâti bâtiment edificio ciudad"),
    ("#cfe3f5", "snow ice glacier schnee eis gletscher neige glace nieve hielo"),
    ("#222222", "shadow shade schatten ombre sombra"),
    ("#dddddd", "cloud clouds wolke wolken nuage nube"),
    ("#bbbbbb", "background other clutter unclassified sonstiges hintergrund autre otro"),
)  # fmt: skip
_ENDINGS_FROM = 4
_APART = 60.0


def default_colors(count: int) -> list[str]:
    """Return colours that stay apart for colour-blind readers.

    Sixteen hand-picked colours come first; beyond them hues are spread by the golden angle, which keeps any
    number of colours distinct though no longer safe for every form of colour blindness.

    Parameters
    ----------
    count
        How many colours are wanted.

    Returns
    -------
    list of str
        ``#rrggbb`` strings.

    Examples
    --------
    >>> default_colors(2)
    ['#4477aa', '#ee6677']
    """
    colors = list(_PALETTE[:count])
    for position in range(len(colors), count):
        rgb = colorsys.hsv_to_rgb(position * 0.618034 % 1, 0.45 + 0.4 * (position % 2), 0.85)
        colors.append("#" + "".join(f"{round(255 * channel):02x}" for channel in rgb))
    return colors


def class_colors(names: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """Return a colour for each class: the usual one where its name says what it is, else one that stays apart.

    Parameters
    ----------
    names
        Class names, in any of the languages of the usual words.
    taken
        Colours that are in use already.

    Returns
    -------
    list of str
        ``#rrggbb`` strings, no two alike.

    Examples
    --------
    >>> class_colors(["forest", "Gewässer", "street", "class 4"])
    ['#117733', '#4477aa', '#777777', '#ee6677']
    """
    used = {color.lower() for color in taken}
    chosen: list[str] = []
    for name in names:
        usual = usual_color(name)
        color = next((c for c in _shades(usual) if c not in used), "") if usual else ""
        chosen.append(color)
        used |= {color} if color else set()
    spare = itertools.chain(
        default_colors(2 * len(used) + 2 * len(names) + len(_PALETTE)),
        (f"#{number:06x}" for number in range(2**24)),  # thousands of classes
    )
    for position, color in enumerate(chosen):
        if not color:
            chosen[position] = next(
                c
                for c in spare
                if c not in used and (len(used) > len(_PALETTE) or _is_apart(c, used))
            )
            used.add(chosen[position])
    return chosen


def usual_color(name: str) -> str:
    """Return the colour that maps usually give a class of this name; empty where the name says nothing.

    Examples
    --------
    >>> usual_color("Nadelwald") == usual_color("coniferous forest"), usual_color("class 3")
    (True, '')
    """
    words = re.findall(r"[^\W\d_]+", unicodedata.normalize("NFKC", name).lower())
    for color, keys in _USUAL:
        if set(words) & set(keys.split()):
            return color
    for color, keys in _USUAL:
        endings = tuple(key for key in keys.split() if len(key) >= _ENDINGS_FROM)
        if any(word.endswith(endings) for word in words):
            return color
    return ""


def _shades(color: str) -> list[str]:
    """Return a colour, a lighter and a darker one, for classes of one kind."""
    rgb = _rgb(color)
    lighter = [round(c + 0.4 * (255 - c)) for c in rgb]
    darker = [round(0.65 * c) for c in rgb]
    return [color, *("#" + bytes(shade).hex() for shade in (lighter, darker))]


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color[1:]))


def _is_apart(color: str, others: Iterable[str]) -> bool:
    here = _rgb(color)
    return all(
        sum((a - b) ** 2 for a, b in zip(here, _rgb(other), strict=True)) >= _APART**2
        for other in others
    )
