"""Colours of classes: the conventional colour of a land-cover class, or one of a palette for colour-blind readers.

Classes with a common name get the colour that land-cover maps conventionally use for them, because a map with blue
forest is misread. All other classes get colours of a palette that colour-blind readers can distinguish.
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

# Words in English, German, French and Spanish. The first row that holds a word of the class name decides; otherwise the
# first row with a word of four letters or more that ends a word of the name (Nadelwald, greenhouse).
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
    """Return colours that colour-blind readers can distinguish.

    The first sixteen are a fixed palette. Further hues are spaced by the golden angle: they are distinct, but not for
    every form of colour blindness.

    Parameters
    ----------
    count
        Number of colours.

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
    """Return a colour for each class: the conventional one where its name is known, else one of the palette.

    Parameters
    ----------
    names
        Class names in English, German, French or Spanish.
    taken
        Colours that are already in use.

    Returns
    -------
    list of str
        ``#rrggbb`` strings, all different.

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
    """Return the conventional colour of a class with this name; empty where the name is not known.

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
    """Return a colour, a lighter and a darker one, for similar classes."""
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
